package signin

import (
	"github.com/go-webauthn/webauthn/protocol"
)

// What strangers send, for the fuzz targets.
var (
	CanonicalEmail    = canonicalEmail
	CanonicalRecovery = canonicalRecovery
	Locale            = locale
	AgentOf           = Client.agent
)

// ParsePasskey reads what a browser answers as AddPasskey and PasskeyFactor do.
func ParsePasskey(answer []byte) (create, get error) {
	_, create = protocol.ParseCredentialCreationResponseBytes(answer)
	_, get = protocol.ParseCredentialRequestResponseBytes(answer)
	return create, get
}
