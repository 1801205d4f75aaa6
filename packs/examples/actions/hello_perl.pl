#!/usr/bin/env perl
# Greets from Perl. Parameters: one KEY='VALUE' each on standard input (the format dotenv); JSON::PP would read JSON,
# but the smallest Perl that distributions install doesn't have it.
use strict;
use warnings;

sub json {
    my ($text) = @_;
    $text =~ s/(["\\])/\\$1/g;
    $text =~ s/([\x00-\x1f])/sprintf('\\u%04x', ord $1)/ge;
    return "\"$text\"";
}

my $document = do { local $/; <STDIN> } // '';
my $name = 'World';
if ($document =~ /^name='((?:[^']|'\\'')*)'$/m) {
    $name = $1;
    $name =~ s/'\\''/'/g;
}
printf qq({"greeting": %s, "language": "perl", "version": %s}\n), json("Hello, $name!"), json(sprintf '%vd', $^V);
