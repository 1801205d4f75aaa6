// Makes a slug with a module from a directory. Parameters: a JSON object on standard input.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"example.invalid/slug"
)

func main() {
	var parameters struct{ Title string }
	if err := json.NewDecoder(os.Stdin).Decode(&parameters); err != nil {
		fmt.Fprintln(os.Stderr, "parameters:", err)
		os.Exit(2)
	}
	answer := map[string]string{"slug": slug.Of(parameters.Title), "library": slug.Version}
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
