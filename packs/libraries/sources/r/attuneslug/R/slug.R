# The title in lower case, with a dash for all that is neither an ASCII letter nor a digit.
slug <- function(title) {
  gsub("^-|-$", "", gsub("[^a-z0-9]+", "-", tolower(title)))
}
