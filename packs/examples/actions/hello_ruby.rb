#!/usr/bin/env ruby
# Greets from Ruby. Parameters: a JSON object on standard input.

require "json"

parameters = JSON.parse($stdin.set_encoding("UTF-8").read)
name = parameters.fetch("name", "World")
puts JSON.generate("greeting" => "Hello, #{name}!", "language" => "ruby", "version" => RUBY_VERSION)
