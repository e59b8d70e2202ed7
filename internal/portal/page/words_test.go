package page_test

import (
	"slices"
	"testing"

	"github.com/telamon-ca/telamon/internal/notify"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/store"
)

// TestMailNames looks for the name of every kind of mail in every language.
func TestMailNames(t *testing.T) {
	kinds := slices.Concat(notify.Templates(), notify.LetterTemplates(), []string{
		notify.TemplateClientCertsExpiring, notify.TemplateQuoteSent, notify.TemplateQuoteAccepted, notify.TemplateQuoteResult, notify.TemplateQuotaUsed,
		store.TemplateIdentityQueued, store.TemplateIdentityProcessed, store.TemplateIdentityActive, store.TemplateIdentityRejected,
		store.TemplateIdentityExpiring, store.TemplateIdentityExpired,
	})
	for _, l := range ui.Languages {
		for _, kind := range kinds {
			if !l.Has("mail.template." + kind) {
				t.Errorf("%s has no name of the mail %s", l.Tag, kind)
			}
		}
	}
}
