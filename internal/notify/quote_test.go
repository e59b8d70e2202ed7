package notify

import (
	"strings"
	"testing"
)

// TestQuoteLint holds what mails of quotes and quota must be in every language, whatever
// strangers choose as names.
func TestQuoteLint(t *testing.T) {
	for language := range quoteLanguages {
		for _, text := range []string{"devices", evil, strings.Repeat("長", 2000), "{total}{po}", ""} {
			quote := QuoteMail{
				Locale: language + "_XX", Platform: text, Account: text, Quote: "quo_1", Total: "100.00 EUR", Deadline: deadline, At: deadline, Person: text, PO: text,
				Reason: text, Link: portal, Lines: []QuoteLine{{Service: text, Amount: 4711, Months: 12, Price: "99.00 EUR"}, {Service: text, Months: 3}},
			}
			for _, template := range []string{TemplateQuoteSent, TemplateQuoteAccepted, TemplateQuoteResult} {
				for _, other := range []bool{false, true} {
					quote.Cancelled, quote.CreditCheck = other && template == TemplateQuoteResult, other
					m, err := RenderQuote(template, quote)
					if err != nil {
						t.Fatalf("%s in %s: %v", template, language, err)
					}
					lint(t, template+" in "+language, m)
					want := []string{"100.00 EUR", portal, "4711", "99.00 EUR"}
					if quote.Cancelled {
						want = want[:2]
					}
					for _, part := range want {
						if !strings.Contains(m.Text, part) || !strings.Contains(m.HTML, part) {
							t.Errorf("%s in %s says no %q: %s", template, language, part, m.Text)
						}
					}
				}
			}
			for _, percent := range []int64{80, 100} {
				m, err := RenderQuota(QuotaMail{Locale: language + "_XX", Platform: text, Account: text, Service: text, Percent: percent, Used: 93, Amount: 117, At: deadline, Link: portal})
				if err != nil {
					t.Fatalf("quota in %s: %v", language, err)
				}
				lint(t, "quota in "+language, m)
				if !strings.Contains(m.Text, "93") || !strings.Contains(m.Text, "117") || strings.Contains(m.HTML, "<ul>") {
					t.Errorf("quota in %s: %s", language, m.HTML)
				}
			}
		}
	}
}

// TestQuoteWords holds what is said of which quote, and in which language.
func TestQuoteWords(t *testing.T) {
	quote := QuoteMail{Platform: "Trust", Account: "Acme", Quote: "quo_1", Total: "5.00 EUR", Deadline: deadline, At: deadline, Person: "Ada"}
	with := func(change func(*QuoteMail)) QuoteMail {
		q := quote
		change(&q)
		return q
	}
	tests := []struct {
		template string
		mail     QuoteMail
		want     string
	}{
		{TemplateQuoteSent, quote, "can be accepted until 2026-11-27 16:00 UTC"},
		{TemplateQuoteSent, with(func(q *QuoteMail) { q.Locale = "de_DE" }), "kann bis 2026-11-27 16:00 UTC angenommen werden"},
		{TemplateQuoteAccepted, quote, "at 2026-11-27 16:00 UTC:"},
		{TemplateQuoteAccepted, with(func(q *QuoteMail) { q.PO = "PO-1" }), "with the purchase order number PO-1:"},
		{TemplateQuoteAccepted, with(func(q *QuoteMail) { q.CreditCheck = true }), "an operator checks the credit first"},
		{TemplateQuoteResult, quote, "passed its credit check"},
		{TemplateQuoteResult, with(func(q *QuoteMail) { q.Cancelled, q.Reason = true, "Not paid." }), "The reason: Not paid."},
		{TemplateQuoteResult, with(func(q *QuoteMail) { q.Cancelled, q.Locale = true, "de" }), "wurde um 2026-11-27 16:00 UTC storniert."},
	}
	for _, tt := range tests {
		if m, err := RenderQuote(tt.template, tt.mail); err != nil || !strings.Contains(m.Text, tt.want) || strings.ContainsAny(m.Text+m.Subject, "{}") {
			t.Errorf("%s: %q has no %q, %v", tt.template, m.Text, tt.want, err)
		}
	}
	if m, err := RenderQuota(QuotaMail{Locale: "de_DE", Service: "TLS", Percent: 100}); err != nil || m.Subject != "Das Kontingent von TLS ist aufgebraucht" {
		t.Errorf("of quota that is used up: %q, %v", m.Subject, err)
	}
	if _, err := RenderQuote("quota_used", quote); err == nil {
		t.Error("a template that is none of quotes was written")
	}
	if _, err := RenderQuote(TemplateQuoteSent, with(func(q *QuoteMail) { q.Link = "javascript:alert(1)" })); err == nil {
		t.Error("a link that is none was written")
	}
}
