#!/usr/bin/env Rscript
# Greets from R. Parameters: one KEY='VALUE' each on standard input (the format dotenv); R itself has no JSON.

# Bytes in, bytes out: in a container without a locale R would otherwise spell letters beyond ASCII as <U+00FC>.
json <- function(text) {
  text <- gsub("\\", "\\\\", text, fixed = TRUE, useBytes = TRUE)
  text <- gsub("\"", "\\\"", text, fixed = TRUE, useBytes = TRUE)
  text <- gsub("[\\x00-\\x1f]", " ", text, perl = TRUE, useBytes = TRUE)
  paste0("\"", text, "\"")
}

input <- file("stdin")
document <- paste(readLines(input, warn = FALSE), collapse = "\n")
close(input)

pattern <- "(?m)^name='(?:[^']|'\\\\'')*'$"
found <- regmatches(document, regexpr(pattern, document, perl = TRUE, useBytes = TRUE))
name <- if (length(found) == 0) "World" else sub("^name='", "", sub("'$", "", found, useBytes = TRUE), useBytes = TRUE)
name <- gsub("'\\''", "'", name, fixed = TRUE, useBytes = TRUE)

writeLines(paste0(
  "{\"greeting\": ", json(paste0("Hello, ", name, "!")),
  ", \"language\": \"r\", \"version\": ", json(as.character(getRversion())), "}"
), useBytes = TRUE)
