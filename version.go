package saba

// Version is the release that this source becomes, in semantic versioning.
const Version = "0.1.0"
