package page_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon/internal/notify"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/store"
)

// TestMailNames looks for the name of every kind of mail in every language.
func TestMailNames(t *testing.T) {
	files, err := filepath.Glob("../../notify/*.text.tmpl")
	if err != nil || len(files) < 9 {
		t.Fatalf("there are the templates %q, %v", files, err)
	}
	kinds := []string{
		"sign_in_verify", "sign_in_known", "sign_in_reset", "sign_in_invite", "sign_in_notice", "client_certificates_expiring",
		notify.TemplateQuoteSent, notify.TemplateQuoteAccepted, notify.TemplateQuoteResult, notify.TemplateQuotaUsed,
		store.TemplateIdentityQueued, store.TemplateIdentityProcessed, store.TemplateIdentityActive, store.TemplateIdentityRejected,
		store.TemplateIdentityExpiring, store.TemplateIdentityExpired,
	}
	for _, f := range files {
		if kind := strings.TrimSuffix(filepath.Base(f), ".text.tmpl"); kind != "layout" {
			kinds = append(kinds, kind)
		}
	}
	for _, l := range ui.Languages {
		for _, kind := range kinds {
			if !l.Has("mail.template." + kind) {
				t.Errorf("%s has no name of the mail %s", l.Tag, kind)
			}
		}
	}
}
