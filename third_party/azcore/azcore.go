// Package azcore stands in for the core of Azure's SDK. saba signs in to no cloud; see
// third_party/README.md. The names in it are those that the storage engine compiles against.
package azcore

import (
	"context"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// AccessToken is what a TokenCredential would return.
type AccessToken struct {
	Token     string
	ExpiresOn time.Time
}

// TokenCredential would fetch tokens; this build has no implementation of it.
type TokenCredential interface {
	GetToken(context.Context, policy.TokenRequestOptions) (AccessToken, error)
}

// ClientOptions says which cloud to sign in to.
type ClientOptions struct {
	Cloud cloud.Configuration
}
