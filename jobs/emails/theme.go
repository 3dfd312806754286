package emails

import (
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
)

// theme holds the colours that follow the brand; the greys are in the layout.
type theme struct {
	Brand    string // buttons, mark
	OnBrand  string // text on Brand
	Link     string // on white, at least 4.5:1
	DarkLink string // on the dark card, at least 4.5:1
}

// Kestrel's blue is a middle tone: it keeps its contrast with white text when a mail
// app inverts light colours, dark ones, or both.
var kestrelTheme = theme{Brand: "#2f5bd7", OnBrand: "#ffffff", Link: "#2f5bd7", DarkLink: "#9db6ff"}

// Brand optionally gives an email the tenant's colour and logo.
type Brand struct {
	// BrandColor is #rrggbb; empty means Kestrel's.
	BrandColor string `json:"brand_color,omitempty"`
	// LogoURL is an https address of an image that anybody can read; empty means Kestrel's mark.
	LogoURL string `json:"logo_url,omitempty"`
	// LogoAlt is what is read where the image is not shown: the company's name.
	LogoAlt string `json:"logo_alt,omitempty"`
}

// logo is the image at the head of an email, on a ground that stays white when a mail app turns the rest dark.
type logo struct{ URL, Alt string }

func (b Brand) paint(d *draft) {
	if b.LogoURL != "" {
		u, err := url.Parse(b.LogoURL)
		switch {
		case err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil:
			d.problem("logo_url", "is not an https address")
		case strings.TrimSpace(b.LogoAlt) == "":
			d.problem("logo_alt", "is required with logo_url")
		default:
			d.Logo = &logo{URL: u.String(), Alt: b.LogoAlt}
		}
	}
	if b.BrandColor == "" {
		return
	}
	brand, ok := parseColour(b.BrandColor)
	if !ok {
		d.problem("brand_color", "is not a colour such as #2f5bd7")
		return
	}
	white, black := colour{255, 255, 255}, colour{17, 20, 24}
	card := colour{27, 31, 36}
	on := white
	if contrast(brand, white) < 4.5 {
		on = colour{} // one of white and black always has 4.5:1
	}
	d.Theme = theme{
		Brand: brand.String(), OnBrand: on.String(),
		Link: readable(brand, black, white).String(), DarkLink: readable(brand, white, card).String(),
	}
}

type colour [3]float64

func (c colour) String() string {
	return fmt.Sprintf("#%02x%02x%02x", int(c[0]+.5), int(c[1]+.5), int(c[2]+.5))
}

func parseColour(s string) (colour, bool) {
	if len(s) != 7 || s[0] != '#' {
		return colour{}, false
	}
	n, err := strconv.ParseUint(s[1:], 16, 32)
	if err != nil {
		return colour{}, false
	}
	return colour{float64(n >> 16), float64(n >> 8 & 255), float64(n & 255)}, true
}

// readable moves c towards another colour until it reads on background at 4.5:1.
func readable(c, towards, background colour) colour {
	for step := 0.0; step < 1; step += 0.05 {
		var mixed colour
		for i := range c {
			mixed[i] = c[i] + (towards[i]-c[i])*step
		}
		if contrast(mixed, background) >= 4.6 {
			return mixed
		}
	}
	return towards
}

// contrast is the ratio of WCAG 2, 1 to 21.
func contrast(a, b colour) float64 {
	x, y := luminance(a), luminance(b)
	return (math.Max(x, y) + .05) / (math.Min(x, y) + .05)
}

func luminance(c colour) float64 {
	var part [3]float64
	for i, v := range c {
		v /= 255
		if v <= .04045 {
			part[i] = v / 12.92
		} else {
			part[i] = math.Pow((v+.055)/1.055, 2.4)
		}
	}
	return .2126*part[0] + .7152*part[1] + .0722*part[2]
}
