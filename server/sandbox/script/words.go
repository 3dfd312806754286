package script

import (
	"strings"
	"unicode"
)

// words are a text's words in lower case, without the punctuation around them: "3 p.m., please" is 3 pm please.
func words(text string) []string {
	var out []string
	for _, w := range strings.Fields(strings.ToLower(text)) {
		w = strings.TrimFunc(strings.ReplaceAll(w, "’", "'"), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '+' })
		if w == "p.m" || w == "a.m" {
			w = strings.ReplaceAll(w, ".", "")
		}
		if w != "" {
			out = append(out, w)
		}
	}
	return out
}

// says reports whether one of the phrases is in the text, word for word.
func says(text string, phrases ...string) bool {
	padded := " " + strings.Join(words(text), " ") + " "
	for _, p := range phrases {
		if p = strings.Join(words(p), " "); p != "" && strings.Contains(padded, " "+p+" ") {
			return true
		}
	}
	return false
}

// little are words that tell nothing about what a text is about.
const little = " a an the and or but if of in on at to for from with by is are was were be been am do does did have has had i you he she it we they me my your our their his her this that these those what which who when where why how can could would will shall may might please there here just about some any not no yes so as us one much many get need want like tell know know let "

// topics are the words that a text is about, cut to their stems.
func topics(text string) []string {
	var out []string
	for _, w := range words(text) {
		if len(w) > 2 && !strings.Contains(little, " "+w+" ") {
			out = append(out, stem(w))
		}
	}
	return out
}

func stem(w string) string {
	for _, end := range []string{"ing", "ies", "es", "ed", "s", "y"} {
		if cut, found := strings.CutSuffix(w, end); found && len(cut) > 2 {
			return cut
		}
	}
	return w
}

// overlap counts the topics of a that b has as well.
func overlap(a, b string) int {
	in := map[string]bool{}
	for _, w := range topics(b) {
		in[w] = true
	}
	n := 0
	for _, w := range topics(a) {
		if in[w] {
			n++
			in[w] = false
		}
	}
	return n
}

// sentences are the sentences of a text, without line breaks.
func sentences(text string) []string {
	var out []string
	start := 0
	end := func(i int) {
		if s := strings.TrimSpace(text[start:i]); s != "" {
			out = append(out, s)
		}
		start = i
	}
	for i, r := range text {
		switch {
		case r == '\n':
			end(i)
		case (r == '.' || r == '!' || r == '?') && (i+1 == len(text) || text[i+1] == ' ' || text[i+1] == '\n'):
			end(i + 1)
		}
	}
	end(len(text))
	return out
}

// listed joins parts as people say them: a, b or c.
func listed(parts []string, word string) string {
	if len(parts) < 2 {
		return strings.Join(parts, "")
	}
	return strings.Join(parts[:len(parts)-1], ", ") + " " + word + " " + parts[len(parts)-1]
}
