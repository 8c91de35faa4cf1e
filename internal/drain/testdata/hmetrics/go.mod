module hmetrics

go 1.26

require github.com/heroku/x v0.5.3
