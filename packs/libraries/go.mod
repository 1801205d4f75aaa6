module example.invalid/libraries

go 1.18

require example.invalid/slug v1.0.0

replace example.invalid/slug => ./lib/go
