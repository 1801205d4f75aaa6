# Names for addresses.
module AttuneSlug
  VERSION = "1.0"

  def self.slug(title)
    title.downcase.gsub(/[^a-z0-9]+/, "-").gsub(/\A-|-\z/, "")
  end
end
