// Package greeting stands for a dependency.
package greeting

// Text is what the action prints.
const Text = "hello from 1.0.0"
