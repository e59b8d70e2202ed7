package device

import (
	"errors"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/miekg/pkcs11"
	"go.step.sm/crypto/kms/apiv1"
)

// errLost is returned while the device is not connected.
var errLost = errors.New("the device is not connected")

// lost are the errors of PKCS #11 after which the device has to be connected anew: its
// sessions, its login or the module are no more what they were.
var lost = []pkcs11.Error{
	pkcs11.CKR_SESSION_HANDLE_INVALID, pkcs11.CKR_SESSION_CLOSED, pkcs11.CKR_USER_NOT_LOGGED_IN, pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED,
	pkcs11.CKR_DEVICE_ERROR, pkcs11.CKR_DEVICE_REMOVED, pkcs11.CKR_TOKEN_NOT_PRESENT, pkcs11.CKR_TOKEN_NOT_RECOGNIZED,
	pkcs11.CKR_OBJECT_HANDLE_INVALID, pkcs11.CKR_KEY_HANDLE_INVALID, pkcs11.CKR_GENERAL_ERROR, pkcs11.CKR_FUNCTION_FAILED,
}

// isLost reports whether an error says that the device has lost its sessions.
func isLost(err error) bool {
	if errors.Is(err, errLost) {
		return true
	}
	if code, ok := errors.AsType[pkcs11.Error](err); ok {
		return slices.Contains(lost, code)
	}
	// Another goroutine has connected anew. Package crypto11 exports neither error.
	return err != nil && (strings.Contains(err.Error(), "context is closed") || strings.Contains(err.Error(), "cannot used closed Context"))
}

// isMissing reports whether an error says that the device has no such key, or will
// delete it.
func isMissing(err error) bool {
	if errors.Is(err, apiv1.NotFoundError{}) {
		return true
	}
	if aws, ok := errors.AsType[interface {
		error
		ErrorCode() string
	}](err); ok {
		return aws.ErrorCode() == "NotFoundException" || aws.ErrorCode() == "KMSInvalidStateException"
	}
	azure, ok := errors.AsType[*azcore.ResponseError](err)
	return ok && azure.StatusCode == 404
}
