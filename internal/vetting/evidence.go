package vetting

import (
	"bytes"
	"context"
	"crypto/sha256"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
)

// MaxEvidence is how large a file of evidence may be, in octets.
const MaxEvidence = 5 << 20

// evidenceTypes are the types of files that may be kept, and how their names end.
var evidenceTypes = map[string][]string{
	"application/pdf": {".pdf"}, "image/png": {".png"}, "image/jpeg": {".jpg", ".jpeg"}, "text/plain": {".txt"},
}

// beginnings are how files of the types begin that are no texts.
var beginnings = map[string]string{
	"application/pdf": "%PDF-", "image/png": "\x89PNG\r\n\x1a\n", "image/jpeg": "\xff\xd8\xff",
}

// mediaTypeOf returns the type of a file by its content and the ending of its name, which
// must agree; "" for what is not kept.
func mediaTypeOf(name string, content []byte) string {
	found := ""
	for media, beginning := range beginnings {
		if bytes.HasPrefix(content, []byte(beginning)) {
			found = media
		}
	}
	if found == "" && isText(content) {
		found = "text/plain"
	}
	if !slices.Contains(evidenceTypes[found], strings.ToLower(path.Ext(name))) {
		return ""
	}
	return found
}

// isText reports whether all of a file can be read as text in UTF-8, which is no markup.
func isText(content []byte) bool {
	odd := func(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune("\n\r\t\f", r) }
	return utf8.Valid(content) && !bytes.HasPrefix(bytes.TrimLeft(content, "\ufeff \t\r\n\f"), []byte("<")) &&
		!strings.ContainsFunc(string(content), odd)
}

// fileName returns the name of a file without what leads to it, fit to be shown and sent.
func fileName(name string) string {
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.Map(func(r rune) rune {
		if r == '"' || r == '%' || r == ';' || !unicode.IsPrint(r) || r == utf8.RuneError {
			return '_'
		}
		return r
	}, name)
	if ext := path.Ext(name); utf8.RuneCountInString(name) > maxFileName && len(ext) < 8 {
		return string([]rune(name)[:maxFileName-len(ext)]) + ext
	}
	return name
}

const maxFileName = 100 // characters

// Keep keeps a file for an open case. It reports Invalid with evidence_type if the file is
// no PDF, PNG, JPEG or text, or its name says another type than its content; with
// evidence_size if it is empty or larger than MaxEvidence; and what Record reports.
func (v *Vetting) Keep(ctx context.Context, actor telamon.Actor, id telamon.VettingCaseID, name string, content []byte) (*telamon.VettingEvidence, error) {
	if _, err := v.working(ctx, actor, authz.VettingRecord, id); err != nil {
		return nil, err
	}
	if len(content) == 0 || len(content) > MaxEvidence {
		return nil, fault.New(fault.Invalid, "evidence_size", "A file of evidence has 1 octet to 5 MiB.")
	}
	name = fileName(name)
	media := mediaTypeOf(name, content)
	if media == "" {
		return nil, fault.New(fault.Invalid, "evidence_type",
			"Evidence is a PDF, PNG or JPEG file, or text in UTF-8, whose name ends in .pdf, .png, .jpg or .txt as its content is.")
	}
	e := &telamon.VettingEvidence{
		ID: telamon.NewEvidenceID(), Case: id, Name: name, MediaType: media, Size: int64(len(content)), SHA256: sha256.Sum256(content),
	}
	return e, v.store.AddVettingEvidence(ctx, actor, e, content)
}

// Evidence returns a file of a case. It reports NotFound.
func (v *Vetting) Evidence(ctx context.Context, actor telamon.Actor, id telamon.VettingCaseID, evidence telamon.EvidenceID) (telamon.VettingEvidence, []byte, error) {
	if err := authz.Check(actor, authz.VettingRead, ""); err != nil {
		return telamon.VettingEvidence{}, nil, err
	}
	return v.store.VettingEvidenceContent(ctx, id, evidence)
}
