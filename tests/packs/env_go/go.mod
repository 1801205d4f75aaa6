module example.com/env_go

go 1.18

require example.com/greeting v1.0.0

replace example.com/greeting => ./lib/greeting
