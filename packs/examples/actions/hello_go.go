// Greets from Go. Parameters: a JSON object on standard input.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"
)

func main() {
	parameters := struct{ Name string }{Name: "World"}
	if err := json.NewDecoder(os.Stdin).Decode(&parameters); err != nil {
		fmt.Fprintln(os.Stderr, "parameters:", err)
		os.Exit(2)
	}
	answer := map[string]string{
		"greeting": "Hello, " + parameters.Name + "!",
		"language": "go",
		"version":  strings.TrimPrefix(runtime.Version(), "go"),
	}
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
