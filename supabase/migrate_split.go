package supabase

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// splitStatements cuts a migration into the statements that the Supabase CLI (3.1.0) would record for it: each with
// the comments before it and without its semicolons. Semicolons in strings, quoted names, dollar quotes, comments,
// parentheses and BEGIN ATOMIC bodies do not end a statement.
func splitStatements(sql string) []string {
	var statements []string
	s := scanner{sql: sql}
	for s.pos < len(sql) {
		start := s.pos
		s.statement()
		text := strings.TrimSpace(strings.TrimRight(sql[start:s.pos], ";"))
		if text != "" {
			statements = append(statements, text)
		}
	}
	return statements
}

type scanner struct {
	sql string
	pos int
}

// statement moves past the next statement's semicolon, or to the end.
func (s *scanner) statement() {
	start, inParens, atomic := s.pos, false, false
	for s.pos < len(s.sql) {
		rest := s.sql[s.pos:]
		switch c := rest[0]; {
		case strings.HasPrefix(rest, "--"):
			s.skipTo("\n", 2)
		case strings.HasPrefix(rest, "/*"):
			s.blockComment()
		case c == '\'':
			s.quoted('\'', s.precededByE())
		case c == '"':
			s.quoted('"', false)
		case c == '$' && dollarTag(rest) != "":
			tag := dollarTag(rest)
			s.skipTo(tag, len(tag))
		case c == '(':
			inParens = true
			s.pos++
		case c == ')':
			inParens = false // of any depth: the CLI does not count them
			s.pos++
		case isWordByte(c):
			word := s.word()
			if strings.EqualFold(word, "atomic") && s.follows(start, s.pos-len(word), "begin") {
				atomic = true
			} else if atomic && strings.EqualFold(word, "end") && s.atStatementStart(s.pos-len(word)) {
				atomic = false
			}
		case c == ';':
			s.pos++
			if !inParens && !atomic {
				return
			}
		default:
			s.pos++
		}
	}
}

// skipTo moves past the next end after the first skip bytes, or to the end of all.
func (s *scanner) skipTo(end string, skip int) {
	if i := strings.Index(s.sql[s.pos+skip:], end); i >= 0 {
		s.pos += skip + i + len(end)
		return
	}
	s.pos = len(s.sql)
}

func (s *scanner) blockComment() {
	depth := 0
	for s.pos < len(s.sql) {
		switch rest := s.sql[s.pos:]; {
		case strings.HasPrefix(rest, "/*"):
			depth++
			s.pos += 2
		case strings.HasPrefix(rest, "*/"):
			depth--
			s.pos += 2
			if depth == 0 {
				return
			}
		default:
			s.pos++
		}
	}
}

// quoted moves past a string or a quoted name; a doubled quote does not end it.
func (s *scanner) quoted(quote byte, backslashes bool) {
	for s.pos++; s.pos < len(s.sql); s.pos++ {
		switch c := s.sql[s.pos]; {
		case c == '\\' && backslashes:
			s.pos++
		case c != quote:
		case s.pos+1 < len(s.sql) && s.sql[s.pos+1] == quote:
			s.pos++
		default:
			s.pos++
			return
		}
	}
	s.pos = len(s.sql)
}

// precededByE reports whether the quote at pos opens an escape string, E'…'.
func (s *scanner) precededByE() bool {
	before := s.sql[:s.pos]
	if before == "" || before[len(before)-1]|0x20 != 'e' {
		return false
	}
	return len(before) == 1 || !isWordByte(before[len(before)-2])
}

// word moves past a name, number or keyword and returns it.
func (s *scanner) word() string {
	start := s.pos
	for s.pos < len(s.sql) && isWordByte(s.sql[s.pos]) {
		s.pos++
	}
	return s.sql[start:s.pos]
}

// follows reports whether the word at pos comes right after the word want.
func (s *scanner) follows(start, pos int, want string) bool {
	before := strings.TrimRightFunc(s.sql[start:pos], unicode.IsSpace)
	if len(before) < len(want) || !strings.EqualFold(before[len(before)-len(want):], want) {
		return false
	}
	head := before[:len(before)-len(want)]
	return head == "" || !isWordByte(head[len(head)-1])
}

// atStatementStart reports whether nothing but space lies between pos and the semicolon or ATOMIC before it.
func (s *scanner) atStatementStart(pos int) bool {
	before := strings.TrimRightFunc(s.sql[:pos], unicode.IsSpace)
	return strings.HasSuffix(before, ";") || len(before) >= 6 && strings.EqualFold(before[len(before)-6:], "atomic")
}

// dollarTag is the $tag$ that text starts with, or "".
func dollarTag(text string) string {
	for i := 1; i < len(text); i++ {
		if text[i] == '$' {
			return text[:i+1]
		}
		if !isWordByte(text[i]) {
			return ""
		}
	}
	return ""
}

// isWordByte reports whether b can be part of an unquoted name; every byte beyond ASCII can.
func isWordByte(b byte) bool {
	return b >= utf8.RuneSelf || b == '_' || b == '$' ||
		'0' <= b && b <= '9' || 'a' <= b|0x20 && b|0x20 <= 'z'
}
