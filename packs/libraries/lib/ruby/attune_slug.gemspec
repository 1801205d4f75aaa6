Gem::Specification.new do |spec|
  spec.name = "attune_slug"
  spec.version = "1.0"
  spec.summary = "Names for addresses"
  spec.authors = ["Attune"]
  spec.files = ["lib/attune_slug.rb"]
end
