package Attune::Slug;    # names for addresses
use strict;
use warnings;

our $VERSION = '1.0';

sub slug {
    my ($title) = @_;
    $title = lc $title;
    $title =~ s/[^a-z0-9]+/-/g;
    $title =~ s/^-|-$//g;
    return $title;
}

1;
