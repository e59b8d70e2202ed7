package atlas

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

// seeds returns the lines of a file of testdata.
func seeds(f *testing.F, file string) []string {
	f.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err != nil || len(b) == 0 {
		f.Fatalf("no seeds, so this would prove nothing: %v", err)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

// shape says which members an object of the API has, and of what they are: nil
// stands for a text, a list or anything else whose absence has no shape of its own.
type shape map[string]any

// zeros are what else is absent for one member.
type zeros []string

var requestShape = shape{
	"validity":            shape{"not_before": zeros{"0"}, "not_after": zeros{"0"}},
	"subject_dn":          subjectShape(),
	"san":                 shape{"dns_names": nil, "emails": nil, "ip_addresses": nil, "uris": nil, "other_names": nil},
	"key_usages":          flatShape(keyUsageMembers),
	"extended_key_usages": nil,
	"subject_da": shape{
		"gender": nil, "date_of_birth": zeros{`"0001-01-01"`}, "place_of_birth": nil, "country_of_citizenship": nil,
		"country_of_residence": nil, "extra_attributes": nil,
	},
	"qualified_statements": shape{
		"semantics": shape{"identifier": nil, "name_authorities": nil}, "etsi_qc_compliance": zeros{"false"},
		"etsi_qc_sscd_compliance": zeros{"false"}, "etsi_qc_type": nil, "etsi_qc_retention_period": zeros{"0"},
		"etsi_qc_pds": shape{"FR": nil},
	},
	"ms_extension_template": shape{"id": nil, "major_version": nil, "minor_version": nil},
	"custom_extensions":     shape{"1.3.6.1.4.1.99999.77": nil},
	"signature":             shape{"algorithm": nil, "hash_algorithm": nil},
	"public_key":            nil,
	"public_key_signature":  nil,
}

func subjectShape() shape {
	s := flatShape(subjectMembers)
	s["organizational_unit"], s["extra_attributes"] = nil, nil
	return s
}

func flatShape(names []string) shape {
	s := shape{}
	for _, name := range names {
		s[name] = nil
	}
	return s
}

// fill returns o with what is absent said in another way, and nothing else changed.
func fill(o object, s shape, random *rand.Rand) object {
	filled := object{}
	for name, value := range o {
		filled[name] = value
	}
	for name, member := range s {
		value := o[name]
		inner, isObject := value.(object)
		switch below, hasShape := member.(shape); {
		case !isAbsent(value) && isObject && hasShape:
			filled[name] = fill(inner, below, random)
		case !isAbsent(value):
		case random.IntN(3) == 0:
			delete(filled, name)
		case hasShape && random.IntN(2) == 0:
			filled[name] = fill(object{}, below, random)
		default:
			ways := []string{`null`, `""`, `[]`, `{}`, `{"x":null}`, `{"x":{"y":[]}}`}
			if more, ok := member.(zeros); ok {
				ways = append(ways, more...)
			}
			filled[name] = json.RawMessage(ways[random.IntN(len(ways))])
		}
	}
	return filled
}

// FuzzDecodeCertificateRequest holds that it does not matter how a document says
// that something is absent.
func FuzzDecodeCertificateRequest(f *testing.F) {
	for i, line := range seeds(f, "certificate_requests.jsonl") {
		f.Add([]byte(line), uint64(i))
	}
	f.Fuzz(func(t *testing.T, body []byte, seed uint64) {
		got, err := decodeCertificateRequest(body)
		if (err == nil) != (got != nil) || err != nil && !fault.Is(err, fault.Malformed) {
			t.Fatalf("%s: %v, %v; want a request or a Malformed fault", body, got, err)
		}
		o, parseErr := parseObject(body)
		if parseErr != nil {
			return
		}
		other, marshalErr := json.Marshal(fill(o, requestShape, rand.New(rand.NewPCG(seed, 1))))
		if marshalErr != nil {
			t.Fatal(marshalErr)
		}
		again, againErr := decodeCertificateRequest(other)
		if (err == nil) != (againErr == nil) {
			t.Fatalf("%s: %v\n%s: %v", body, err, other, againErr)
		}
		if diff := cmp.Diff(got, again); diff != "" {
			t.Errorf("%s\nand %s\ndiffer: %s", body, other, diff)
		}
	})
}

// FuzzLogin holds that a key and secret that are read are what the canonical body
// says too.
func FuzzLogin(f *testing.F) {
	for _, line := range seeds(f, "logins.jsonl") {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		key, secret, err := decodeLogin(body)
		if err != nil {
			if key != "" || secret != "" || !fault.Is(err, fault.Malformed) {
				t.Fatalf("%s: %q, %q, %v", body, key, secret, err)
			}
			return
		}
		canonical, err := json.Marshal(map[string]any{"api_key": key, "api_secret": secret, "key": []any{}, "secret": nil})
		if err != nil {
			t.Fatal(err)
		}
		again, againSecret, err := decodeLogin(canonical)
		if err != nil || again != key || againSecret != secret {
			t.Errorf("%s: %q, %q; in the canonical form %q, %q, %v", body, key, secret, again, againSecret, err)
		}
	})
}

// FuzzPatch holds that a revocation has a reason that exists and a time that a
// certificate could have, and that the case of the reason does not matter.
func FuzzPatch(f *testing.F) {
	for _, line := range seeds(f, "patches.jsonl") {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		rev, err := decodeRevocation(body)
		if err != nil {
			if rev.Reason != "" || !fault.Is(err, fault.Malformed) && !fault.Is(err, fault.Invalid) {
				t.Fatalf("%s: %+v, %v", body, rev, err)
			}
			return
		}
		if !slices.Contains(telamon.RevocationReasons, rev.Reason) || !rev.CompromisedAt.IsZero() && rev.CompromisedAt.Year() > 9999 {
			t.Fatalf("%s: %+v", body, rev)
		}
		o, err := parseObject(body)
		if err != nil {
			t.Fatal(err)
		}
		o["revocation_reason"] = strings.ToUpper(string(rev.Reason))
		other, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := decodeRevocation(other); err != nil || again != rev {
			t.Errorf("%s: %+v\n%s: %+v, %v", body, rev, other, again, err)
		}
	})
}

// FuzzRekey holds for rekey what FuzzDecodeCertificateRequest holds for issuance.
func FuzzRekey(f *testing.F) {
	for i, line := range seeds(f, "rekeys.jsonl") {
		f.Add([]byte(line), uint64(i))
	}
	rekeyShape := shape{"public_key": nil, "public_key_signature": nil, "signature": requestShape["signature"]}
	f.Fuzz(func(t *testing.T, body []byte, seed uint64) {
		got, err := decodeRekey(body)
		if (err == nil) != (got != nil) || err != nil && !fault.Is(err, fault.Malformed) {
			t.Fatalf("%s: %v, %v; want a request or a Malformed fault", body, got, err)
		}
		o, parseErr := parseObject(body)
		if parseErr != nil {
			return
		}
		other, marshalErr := json.Marshal(fill(o, rekeyShape, rand.New(rand.NewPCG(seed, 1))))
		if marshalErr != nil {
			t.Fatal(marshalErr)
		}
		again, againErr := decodeRekey(other)
		if (err == nil) != (againErr == nil) || !reflect.DeepEqual(got, again) {
			t.Errorf("%s: %+v, %v\n%s: %+v, %v", body, got, err, other, again, againErr)
		}
	})
}

// FuzzSerialPath holds that no path is answered by a redirect or anything that is
// not documented, and that a serial that reaches a use case is the number in the
// path.
func FuzzSerialPath(f *testing.F) {
	for _, line := range seeds(f, "paths.txt") {
		f.Add(line)
	}
	api, fake := newTestAPI(f)
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.ParseRequestURI(path)
		if err != nil {
			return
		}
		fake.asked = nil
		w := httptest.NewRecorder()
		api.ServeHTTP(w, &http.Request{
			Method: http.MethodGet, URL: u, Header: http.Header{"Authorization": {"Bearer " + fakeToken}}, Body: http.NoBody, RequestURI: path,
		})
		if !slices.Contains([]int{200, 401, 404, 405, 422}, w.Code) {
			t.Fatalf("GET %q: %d %s", path, w.Code, w.Body)
		}
		if len(fake.asked) == 0 {
			return
		}
		segment := strings.TrimRight(u.Path, "/")
		digits := strings.TrimLeft(segment[strings.LastIndex(segment, "/")+1:], "0")
		if got := strings.TrimLeft(fake.asked[0].String(), "0"); !strings.EqualFold(got, digits) {
			t.Errorf("GET %q asks for %s", path, got)
		}
	})
}

// FuzzStatsQuery holds that a query that is accepted is within all limits, that
// Links says "next" exactly if there is more, and that its addresses can be read
// back as the same window.
func FuzzStatsQuery(f *testing.F) {
	for i, line := range seeds(f, "queries.txt") {
		f.Add(line, uint8(i), int64(i*60))
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, raw string, listing uint8, total int64) {
		l := store.Listing(listing % 3)
		total = max(total, 0)
		q, err := parseStatsQuery(raw, l, now)
		if err != nil {
			if !fault.Is(err, fault.Malformed) && !fault.Is(err, fault.Invalid) {
				t.Fatalf("%q: %v", raw, err)
			}
			return
		}
		if q.page < 1 || q.perPage < 1 || q.perPage > maxPerPage || q.from > q.to || q.to-q.from > 2592000 {
			t.Fatalf("%q: %+v", raw, q)
		}
		links := q.links(statPaths[l], total)
		if more := isMore(q.page, q.perPage, total); strings.Contains(links, "next") != more {
			t.Errorf("%q: page %d of %d rows: %s", raw, q.page, total, links)
		}
		for link := range strings.SplitSeq(links, ", ") {
			address, _, ok := strings.Cut(strings.TrimPrefix(link, "<"), ">; rel=")
			_, query, _ := strings.Cut(address, "?")
			again, err := parseStatsQuery(query, l, now.Add(time.Hour))
			if !ok || err != nil || again.from != q.from || again.to != q.to || again.perPage != q.perPage {
				t.Errorf("%q: the link %s is %+v, %v", raw, link, again, err)
			}
			if values, _ := url.ParseQuery(query); values.Has("per_page") && values.Get("per_page") != strconv.FormatInt(q.perPage, 10) {
				t.Errorf("%q: the link %s does not say that a page has %d", raw, link, q.perPage)
			}
		}
		if strings.ContainsAny(links, "\r\n") || !bytes.HasPrefix([]byte(links), []byte("</v2/stats/")) {
			t.Errorf("%q: %q", raw, links)
		}
	})
}

// isMore reports whether any of total rows comes after a page.
func isMore(page, perPage, total int64) bool { return page <= (total-1)/perPage && total > 0 }

// FuzzClaimsQuery holds of lists of claims what FuzzStatsQuery holds of certificates,
// and that the links lead to the same list whatever the client looks for.
func FuzzClaimsQuery(f *testing.F) {
	for i, line := range seeds(f, "claim_queries.txt") {
		f.Add(line, i%2 == 0, int64(i*60))
	}
	f.Fuzz(func(t *testing.T, raw string, addresses bool, total int64) {
		kind, path := telamon.ClaimDomain, domainClaims
		if addresses {
			kind, path = telamon.ClaimIP, addressClaims
		}
		total = max(total, 0)
		l, q, err := parseClaimsQuery(raw, kind)
		if err != nil {
			if l != nil || !fault.Is(err, fault.Malformed) && !fault.Is(err, fault.Invalid) {
				t.Fatalf("%q: %v, %v", raw, l, err)
			}
			return
		}
		if l.Kind != kind || l.Page < 1 || l.PerPage < 1 || l.PerPage > maxPerPage || addresses && l.Pattern != "" {
			t.Fatalf("%q: %+v", raw, l)
		}
		if !l.From.IsZero() && !l.To.IsZero() && l.From.After(l.To) || l.From.Year() > 9999 || l.To.Year() > 9999 {
			t.Fatalf("%q: from %v to %v", raw, l.From, l.To)
		}
		links := q.links(path, total)
		want := 0
		if isMore(l.Page, l.PerPage, total) {
			want = 1
		}
		if strings.Count(links, "next") != want {
			t.Errorf("%q: page %d of %d rows: %s", raw, l.Page, total, links)
		}
		for link := range strings.SplitSeq(links, ", ") {
			address, _, ok := strings.Cut(strings.TrimPrefix(link, "<"), ">; rel=")
			_, query, _ := strings.Cut(address, "?")
			again, _, err := parseClaimsQuery(query, kind)
			if !ok || err != nil {
				t.Fatalf("%q: the link %s: %v", raw, link, err)
			}
			again.Page = l.Page
			if diff := cmp.Diff(l, again); diff != "" {
				t.Errorf("%q: the link %s is another list: %s", raw, link, diff)
			}
		}
		if strings.ContainsAny(links, "\r\n") || !strings.HasPrefix(links, "<"+base+path+"?") {
			t.Errorf("%q: %q", raw, links)
		}
	})
}

// FuzzCheckBody holds that a check that is read says where to look or leaves it out,
// that it does not matter how it leaves that out unless by the empty text, and that
// the case of the scheme does not matter.
func FuzzCheckBody(f *testing.F) {
	for _, line := range seeds(f, "checks.jsonl") {
		f.Add([]byte(line))
	}
	const member = "authorization_domain"
	f.Fuzz(func(t *testing.T, body []byte) {
		at, scheme, err := decodeCheck(body, member)
		if err != nil {
			if at != nil || scheme != "" || !fault.Is(err, fault.Malformed) && !fault.Is(err, fault.Invalid) {
				t.Fatalf("%q: %v, %q, %v", body, at, scheme, err)
			}
			return
		}
		if at != nil && *at == "" || scheme == "" || scheme != strings.ToLower(scheme) {
			t.Fatalf("%q: %v, %q", body, at, scheme)
		}
		o, err := parseObject(body)
		if err != nil {
			if len(bytes.TrimSpace(body)) > 0 || at != nil || scheme != "http" {
				t.Fatalf("%q: %v, %q, although it is no object: %v", body, at, scheme, err)
			}
			return
		}
		if _, given := o["scheme"].(string); !given {
			o["scheme"] = nil
		}
		if at == nil {
			o[member] = map[string]any{"x": []any{}}
		}
		other, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		again, againScheme, err := decodeCheck(other, member)
		if err != nil || againScheme != scheme || (at == nil) != (again == nil) || at != nil && *again != *at {
			t.Errorf("%q: %v, %q; as %q: %v, %q, %v", body, at, scheme, other, again, againScheme, err)
		}
		o[member] = ""
		if other, err = json.Marshal(o); err != nil {
			t.Fatal(err)
		}
		if _, _, err := decodeCheck(other, member); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v, want an Invalid fault", other, err)
		}
	})
}
