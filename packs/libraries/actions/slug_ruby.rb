# Makes a slug with a gem from a directory. Parameters: a JSON object on standard input.

require "json"
require "attune_slug"

title = JSON.parse($stdin.set_encoding("UTF-8").read).fetch("title")
puts JSON.generate("slug" => AttuneSlug.slug(title), "library" => AttuneSlug::VERSION)
