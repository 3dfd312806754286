package subdomain

import (
	_ "embed"
	"errors"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Slug lengths in bytes. A slug is ASCII, so also in characters.
const (
	MinSlug = 3
	MaxSlug = 40
)

// What ValidSlug finds wrong.
var (
	ErrSlugShape    = errors.New("a slug has 3 to 40 letters a-z, digits and hyphens, and starts and ends with a letter or digit")
	ErrSlugReserved = errors.New("this slug is reserved")
)

// ReservedNames is the list of slugs no tenant may have, one a line, sorted. The SQL migration carries a copy.
//
//go:embed reserved.txt
var ReservedNames string

var reserved = func() map[string]struct{} {
	set := make(map[string]struct{})
	for name := range strings.Lines(ReservedNames) {
		set[strings.TrimSpace(name)] = struct{}{}
	}
	return set
}()

// Reserved reports whether the slug is one that no tenant may have.
func Reserved(slug string) bool {
	_, found := reserved[slug]
	return found
}

// ValidSlug returns nil, ErrSlugShape or ErrSlugReserved. Whether the slug is free, only the database knows.
func ValidSlug(slug string) error {
	if len(slug) < MinSlug || len(slug) > MaxSlug {
		return ErrSlugShape
	}
	for i := range len(slug) {
		c := slug[i]
		alnum := 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
		if !alnum && (c != '-' || i == 0 || i == len(slug)-1) {
			return ErrSlugShape
		}
	}
	// RFC 5891 4.2.3.1: "--" in third and fourth place marks encoded labels such as xn--.
	if len(slug) >= 4 && slug[2:4] == "--" {
		return ErrSlugShape
	}
	if Reserved(slug) {
		return ErrSlugReserved
	}
	return nil
}

// letters spells what has no canonical decomposition.
var letters = strings.NewReplacer("ß", "ss", "æ", "ae", "œ", "oe", "ø", "o", "đ", "d", "ð", "d", "ł", "l", "þ", "th",
	"ı", "i", "&", " and ", "+", " and ", "@", " at ", "'", "", "’", "", "‘", "", "`", "", "´", "")

// SlugFrom makes a slug of a company name: "Müller & Söhne, Inc." gives "muller-and-sohne-inc". The answer is
// valid, or "" if the name has no Latin letter or digit.
func SlugFrom(companyName string) string {
	var b strings.Builder
	for _, r := range norm.NFD.String(letters.Replace(strings.ToLower(companyName))) {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			b.WriteRune(r)
		case unicode.Is(unicode.Mn, r):
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() > 4*MaxSlug {
			break
		}
	}
	slug := fit(strings.Trim(b.String(), "-"), MaxSlug)
	if slug != "" && ValidSlug(slug) != nil {
		slug = fit(slug, MaxSlug-3) + "-hq"
	}
	return slug
}

// fit cuts to n bytes, at a hyphen where that keeps more than half.
func fit(slug string, n int) string {
	if len(slug) <= n {
		return slug
	}
	cut := slug[:n]
	if i := strings.LastIndexByte(cut, '-'); slug[n] != '-' && i > n/2 {
		cut = cut[:i]
	}
	return strings.Trim(cut, "-")
}

// Suggest returns up to five valid slugs like base that taken does not claim, base itself first if it is free.
// It asks taken at most 20 times.
func Suggest(base string, taken func(string) bool) []string {
	const want, tries = 5, 20
	base = SlugFrom(base)
	if base == "" {
		return nil
	}
	suffixes := []string{"", "-hq", "-co", "-team", "-office"}
	for n := 2; len(suffixes) < tries; n++ {
		suffixes = append(suffixes, "-"+strconv.Itoa(n))
	}
	var free []string
	for _, suffix := range suffixes {
		slug := fit(base, MaxSlug-len(suffix)) + suffix
		if ValidSlug(slug) == nil && !taken(slug) {
			if free = append(free, slug); len(free) == want {
				break
			}
		}
	}
	return free
}
