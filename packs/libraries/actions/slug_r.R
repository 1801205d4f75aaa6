#!/usr/bin/env Rscript
# Makes a slug with a package of a library. Parameters: one KEY='VALUE' each on standard input (the format dotenv).

input <- file("stdin")
document <- paste(readLines(input, warn = FALSE), collapse = "\n")
close(input)

found <- regmatches(document, regexpr("(?m)^title='(?:[^']|'\\\\'')*'$", document, perl = TRUE, useBytes = TRUE))
title <- gsub("'\\''", "'", sub("^title='", "", sub("'$", "", found)), fixed = TRUE)

cat(sprintf('{"slug": "%s", "library": "%s"}\n', attuneslug::slug(title), packageVersion("attuneslug")))
