package operator

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/policy"
)

// presences are what the rule of a member can ask for.
var presences = []string{string(policy.Forbidden), string(policy.Optional), string(policy.Required), string(policy.Static)}

// list is one of the lists of texts that the form has.
type list struct {
	name string
	rule func(*policy.Model) *policy.ListRule
}

var lists = []list{
	{"dns_names", func(m *policy.Model) *policy.ListRule { return &m.SAN.DNSNames }},
	{"emails", func(m *policy.Model) *policy.ListRule { return &m.SAN.Emails }},
	{"ip_addresses", func(m *policy.Model) *policy.ListRule { return &m.SAN.IPAddresses }},
	{"uris", func(m *policy.Model) *policy.ListRule { return &m.SAN.URIs }},
	{"ekus", func(m *policy.Model) *policy.ListRule { return &m.ExtendedKeyUsages.EKUs }},
}

// formOf are the values of the form that shows a policy's main members.
func formOf(m *policy.Model) url.Values {
	v := url.Values{}
	v.Set("seconds_min", strconv.FormatInt(m.Validity.SecondsMin, 10))
	v.Set("seconds_max", strconv.FormatInt(m.Validity.SecondsMax, 10))
	for _, name := range policy.SubjectMembers() {
		rule, ok := m.SubjectDN.Strings[name]
		if !ok || rule.Presence == "" {
			rule.Presence = policy.Forbidden
		}
		v.Set("presence."+name, string(rule.Presence))
		v.Set("format."+name, rule.Format)
	}
	for _, l := range lists {
		rule := l.rule(m)
		v.Set("list."+l.name, strings.Join(rule.List, "\n"))
		v.Set("count."+l.name, strconv.Itoa(rule.MinCount)+"-"+strconv.Itoa(rule.MaxCount))
		if rule.Static {
			v.Set("static."+l.name, "on")
		}
	}
	v.Set("key_type", m.PublicKey.KeyType)
	v.Set("key_format", m.PublicKey.KeyFormat)
	var lengths []string
	for _, n := range m.PublicKey.AllowedLengths {
		lengths = append(lengths, strconv.Itoa(n))
	}
	v.Set("lengths", strings.Join(lengths, ", "))
	v.Set("possession", string(m.PublicKeySignature))
	v.Set("algorithm", string(m.Signature.Algorithm.Presence))
	v.Set("algorithms", strings.Join(m.Signature.Algorithm.List, ", "))
	v.Set("hash", string(m.Signature.HashAlgorithm.Presence))
	v.Set("hashes", strings.Join(m.Signature.HashAlgorithm.List, ", "))
	return v
}

// applyForm changes the members of a policy that the form shows to what it says; the others
// stay. It returns what cannot be read, by the names of the form's values, and changes
// nothing then. What the values mean together is for the compiler.
func applyForm(m *policy.Model, v url.Values) []fault.Field {
	var wrong []fault.Field
	whole := func(name string) int64 {
		n, err := strconv.ParseInt(strings.TrimSpace(v.Get(name)), 10, 64)
		if err != nil {
			wrong = append(wrong, fault.Field{Path: name, Problem: "is no whole number"})
		}
		return n
	}
	low, high := whole("seconds_min"), whole("seconds_max")
	type counts struct{ low, high int }
	bounds := map[string]counts{}
	for _, l := range lists {
		a, b, _ := strings.Cut(v.Get("count."+l.name), "-")
		from, err := strconv.Atoi(strings.TrimSpace(a))
		to, err2 := strconv.Atoi(strings.TrimSpace(b))
		if err != nil || err2 != nil {
			wrong = append(wrong, fault.Field{Path: "count." + l.name, Problem: "is no range such as 1-10"})
		}
		bounds[l.name] = counts{from, to}
	}
	lengths := []int{} // which JSON shows as none, not as null
	for _, text := range items(v.Get("lengths"), ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			wrong = append(wrong, fault.Field{Path: "lengths", Problem: "is no list of numbers such as 2048, 3072"})
			break
		}
		lengths = append(lengths, n)
	}
	if len(wrong) > 0 {
		return wrong
	}
	m.Validity.SecondsMin, m.Validity.SecondsMax = low, high
	for _, name := range policy.SubjectMembers() {
		rule := m.SubjectDN.Strings[name]
		rule.Presence, rule.Format = cmp.Or(policy.Presence(v.Get("presence."+name)), policy.Forbidden), v.Get("format."+name)
		if m.SubjectDN.Strings == nil {
			m.SubjectDN.Strings = map[string]policy.StringRule{}
		}
		m.SubjectDN.Strings[name] = rule
	}
	for _, l := range lists {
		rule := l.rule(m)
		rule.List = items(v.Get("list."+l.name), "\n")
		rule.Static = v.Get("static."+l.name) == "on"
		rule.MinCount, rule.MaxCount = bounds[l.name].low, bounds[l.name].high
	}
	m.PublicKey = policy.PublicKey{KeyType: v.Get("key_type"), KeyFormat: v.Get("key_format"), AllowedLengths: lengths}
	m.PublicKeySignature = policy.Presence(v.Get("possession"))
	m.Signature.Algorithm = policy.ChoiceRule{Presence: policy.Presence(v.Get("algorithm")), List: items(v.Get("algorithms"), ",")}
	m.Signature.HashAlgorithm = policy.ChoiceRule{Presence: policy.Presence(v.Get("hash")), List: items(v.Get("hashes"), ",")}
	return nil
}

// items are the parts of a text that are not empty.
func items(text, separator string) []string {
	parts := strings.Split(strings.ReplaceAll(text, "\r", ""), separator)
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return append([]string{}, slices.DeleteFunc(parts, func(p string) bool { return p == "" })...)
}

// sameForm reports whether the form says of the policy what it says already.
func sameForm(m *policy.Model, v url.Values) bool {
	for name, values := range formOf(m) {
		clean := func(text string) string { return strings.TrimSpace(strings.ReplaceAll(text, "\r", "")) }
		if clean(v.Get(name)) != clean(values[0]) {
			return false
		}
	}
	for _, l := range lists {
		if v.Get("static."+l.name) == "on" != l.rule(m).Static {
			return false
		}
	}
	return true
}

// pretty writes a policy for people.
func pretty(m *policy.Model) string {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return ""
	}
	return string(text)
}

// sameJSON reports whether two texts are the same JSON, or the same text.
func sameJSON(a, b string) bool {
	var x, y bytes.Buffer
	if json.Compact(&x, []byte(a)) != nil || json.Compact(&y, []byte(b)) != nil {
		return strings.TrimSpace(strings.ReplaceAll(a, "\r", "")) == strings.TrimSpace(b)
	}
	return bytes.Equal(x.Bytes(), y.Bytes())
}
