#!/usr/bin/env perl
# Makes a slug with a module of a local library. Parameters: a JSON object on standard input.
use strict;
use warnings;
use Attune::Slug;
use JSON::PP;

my $title = decode_json(do { local $/; <STDIN> })->{title};
print encode_json({ slug => Attune::Slug::slug($title), library => $Attune::Slug::VERSION }), "\n";
