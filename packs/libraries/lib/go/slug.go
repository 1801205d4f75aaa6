// Package slug makes names for addresses.
package slug

import (
	"regexp"
	"strings"
)

// Version of this library.
const Version = "1.0"

var other = regexp.MustCompile(`[^a-z0-9]+`)

// Of returns title in lower case, with a dash for all that is neither an ASCII letter nor a digit.
func Of(title string) string {
	return strings.Trim(other.ReplaceAllString(strings.ToLower(title), "-"), "-")
}
