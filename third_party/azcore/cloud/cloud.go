// Package cloud stands in for the addresses of Azure's clouds; see third_party/README.md.
package cloud

// Configuration describes a cloud; here it holds nothing.
type Configuration struct{}

// The clouds that the storage engine names.
var AzureChina, AzureGovernment, AzurePublic Configuration
