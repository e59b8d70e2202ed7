package device_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/tbs"
	"github.com/telamon-ca/telamon/signer/device"
)

// fakeKMS answers as AWS KMS does, as far as its documentation says, for one key of
// type ECC_NIST_P256.
type fakeKMS struct {
	mu    sync.Mutex
	key   *ecdsa.PrivateKey
	state string // "" or the exception that it answers with
}

const fakeKeyID = "1234abcd-12ab-34cd-56ef-1234567890ab"

func (f *fakeKMS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var in struct {
		KeySpec, KeyID, MessageType, SigningAlgorithm string
		Message                                       []byte
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	var out any
	switch operation := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "TrentService."); {
	case f.state != "":
		w.WriteHeader(http.StatusBadRequest)
		out = map[string]any{"__type": f.state, "message": "no"}
	case operation == "CreateKey" && in.KeySpec == "ECC_NIST_P256":
		f.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		out = map[string]any{"KeyMetadata": map[string]any{"KeyId": fakeKeyID}}
	case operation == "CreateAlias":
		out = map[string]any{}
	case operation == "GetPublicKey" && f.key != nil:
		der, err := x509.MarshalPKIXPublicKey(f.key.Public())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		out = map[string]any{"PublicKey": der, "KeyId": fakeKeyID}
	case operation == "Sign" && in.MessageType == "DIGEST" && in.SigningAlgorithm == "ECDSA_SHA_256":
		signature, err := f.key.Sign(rand.Reader, in.Message, crypto.SHA256)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		out = map[string]any{"Signature": signature, "KeyId": fakeKeyID}
	default:
		http.Error(w, operation, http.StatusBadRequest)
		return
	}
	json.NewEncoder(w).Encode(out)
}

// TestAWSKMS speaks to a double of AWS KMS: a key is made, signs, and is gone when the
// KMS says so, and not before.
func TestAWSKMS(t *testing.T) {
	fake := &fakeKMS{}
	server := httptest.NewServer(fake)
	defer server.Close()
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": server.URL, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": "none", "AWS_SHARED_CREDENTIALS_FILE": "none",
	} {
		t.Setenv(name, value)
	}
	d, err := device.Open(t.Context(), device.Config{URI: "awskms:region=eu-central-1", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	public, reference, err := d.Generate("tls-ca", tbs.ECP256)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := d.Open(reference)
	if err != nil {
		t.Fatal(err)
	}
	algorithm, err := tbs.SignatureFor(public, "", "")
	if err != nil {
		t.Fatal(err)
	}
	signature, err := algorithm.Sign(signer, []byte("tbs"))
	if err == nil {
		err = algorithm.Verify(public, []byte("tbs"), signature)
	}
	if err != nil {
		t.Errorf("a signature by %s: %v", reference, err)
	}
	if err := d.Destroy(reference); err == nil {
		t.Error("a key that the KMS keeps counts as destroyed")
	}
	fake.mu.Lock()
	fake.state = "KMSInvalidStateException" // it is pending deletion
	fake.mu.Unlock()
	if _, err := d.Open(reference); !errors.Is(err, keystore.ErrNoKey) {
		t.Errorf("a key that is to be deleted: %v", err)
	}
	if err := d.Destroy(reference); err != nil {
		t.Errorf("a key that the KMS deletes: %v", err)
	}
}
