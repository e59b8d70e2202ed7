package policy

import (
	"cmp"
	"crypto/x509"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
)

// unsetDate is how a client writes a date of birth that it was not given.
const unsetDate = "0001-01-01"

// directory evaluates subject_da.
func (e *evaluation) directory() {
	req, rules := &e.request.SubjectDA, e.policy.directory
	dateOfBirth := req.DateOfBirth
	if dateOfBirth == unsetDate {
		dateOfBirth = ""
	}
	if rules == nil {
		if req.Gender != "" || dateOfBirth != "" || req.PlaceOfBirth != "" || len(req.CountryOfCitizenship) > 0 ||
			len(req.CountryOfResidence) > 0 || len(req.ExtraAttributes) > 0 {
			e.refuse("subject_da", isForbidden)
		}
		return
	}
	const path = "subject_da."
	out := &telamon.SubjectDirectoryAttributes{
		CountryOfCitizenship: e.list(path+"country_of_citizenship", rules.citizenship, req.CountryOfCitizenship, exactly, validCountry),
		CountryOfResidence:   e.list(path+"country_of_residence", rules.residence, req.CountryOfResidence, exactly, validCountry),
		DateOfBirth:          e.date(path+"date_of_birth", e.policy.model.SubjectDA.DateOfBirth, dateOfBirth),
		Extra:                e.typed(path+memberExtra, rules.extra, req.ExtraAttributes),
		Gender:               e.text(path+"gender", rules.gender, req.Gender, validGender),
		PlaceOfBirth:         e.text(path+"place_of_birth", rules.place, req.PlaceOfBirth, validText),
	}
	if out.Gender != "" || !out.DateOfBirth.IsZero() || out.PlaceOfBirth != "" || len(out.CountryOfCitizenship) > 0 ||
		len(out.CountryOfResidence) > 0 || len(out.Extra) > 0 {
		e.content.DirectoryAttributes = out
	}
}

func (e *evaluation) date(path string, presence Presence, text string) time.Time {
	switch {
	case text == "" && presence == Required:
		e.refuse(path, isRequired)
	case text == "":
	case presence == Forbidden:
		e.refuse(path, isForbidden)
	default:
		date, err := time.Parse(time.DateOnly, text)
		if err != nil || date.Year() < 1800 {
			e.refuse(path, isInvalid)
		}
		return date
	}
	return time.Time{}
}

// integer returns the value of a number rule, nil if there is none.
func (e *evaluation) integer(path string, rule IntegerRule, value *int64) *int {
	static := int(rule.Min)
	switch {
	case rule.Presence == Static:
		if value != nil && *value != rule.Min {
			e.refuse(path, isStatic)
		}
		return &static
	case value == nil && rule.Presence == Required:
		e.refuse(path, isRequired)
	case value == nil:
	case rule.Presence == Forbidden:
		e.refuse(path, isForbidden)
	case *value < rule.Min || *value > rule.Max:
		e.refuse(path, notAllowed)
	default:
		n := int(*value)
		return &n
	}
	return nil
}

// statements evaluates qualified_statements.
func (e *evaluation) statements() {
	req, rules := &e.request.QualifiedStatements, e.policy.statements
	if rules == nil {
		if req.SemanticsIdentifier != "" || len(req.NameAuthorities) > 0 || req.Compliance || req.SSCDCompliance || req.Type != "" ||
			req.RetentionPeriod != 0 || len(req.PDS) > 0 {
			e.refuse("qualified_statements", isForbidden)
		}
		return
	}
	const path = "qualified_statements."
	model := e.policy.model.QualifiedStatements
	var retention *int64
	if req.RetentionPeriod != 0 {
		retention = &req.RetentionPeriod
	}
	out := &telamon.QCStatements{
		Compliance:      e.flag(path+"etsi_qc_compliance", model.ETSIQCCompliance, req.Compliance, req.Compliance),
		PDS:             e.pds(path+"etsi_qc_pds", model.ETSIPDS, req.PDS),
		RetentionYears:  e.integer(path+"etsi_qc_retention_period", model.ETSIRetentionPeriod, retention),
		SSCD:            e.flag(path+"etsi_qc_sscd_compliance", model.ETSIQCSSCD, req.SSCDCompliance, req.SSCDCompliance),
		Type:            oidOrNil(e.text(path+"etsi_qc_type", rules.qcType, req.Type, validOID)),
		SemanticsID:     oidOrNil(e.text(path+"semantics.identifier", rules.identifier, req.SemanticsIdentifier, validOID)),
		NameAuthorities: e.list(path+"semantics.name_authorities", rules.authorities, req.NameAuthorities, exactly, validURI),
	}
	if out.Compliance || out.SSCD || out.Type != nil || out.RetentionYears != nil || out.SemanticsID != nil ||
		len(out.NameAuthorities) > 0 || len(out.PDS) > 0 {
		e.content.QCStatements = out
	}
}

func oidOrNil(text string) *x509.OID {
	if text == "" || !validOID(text) {
		return nil
	}
	id := mustOID(text)
	return &id
}

// pds returns the locations of disclosure statements, sorted by language.
func (e *evaluation) pds(path string, rule PDSRule, given map[string]string) []telamon.PDSLocation {
	asked := map[string]string{}
	for language, url := range given {
		if url != "" {
			asked[strings.ToLower(language)] = url
		}
	}
	switch {
	case rule.Presence == Static:
		static := map[string]string{}
		for language, url := range rule.Policies {
			static[strings.ToLower(language)] = url
		}
		if len(asked) > 0 && !maps.Equal(asked, static) {
			e.refuse(path, isStatic)
		}
		return locations(static)
	case len(asked) == 0 && rule.Presence == Required:
		e.refuse(path, isRequired)
	case len(asked) > 0 && rule.Presence == Forbidden:
		e.refuse(path, isForbidden)
	}
	for _, language := range slices.Sorted(maps.Keys(asked)) {
		pattern := e.policy.pdsPatterns[language]
		switch url := asked[language]; {
		case pattern == nil:
			e.refuse(path+"."+language, notAllowed)
			return nil
		case !pattern.MatchString(url):
			e.refuse(path+"."+language, noMatch)
			return nil
		case !validURI(url):
			e.refuse(path+"."+language, isInvalid)
			return nil
		}
	}
	return locations(asked)
}

func locations(byLanguage map[string]string) []telamon.PDSLocation {
	var out []telamon.PDSLocation
	for language, url := range byLanguage {
		out = append(out, telamon.PDSLocation{Language: language, URL: url})
	}
	slices.SortFunc(out, func(a, b telamon.PDSLocation) int { return cmp.Compare(a.Language, b.Language) })
	return out
}

// template evaluates ms_extension_template.
func (e *evaluation) template() {
	req, rules := &e.request.MSTemplate, e.policy.template
	if rules == nil {
		if req.ID != "" || req.MajorVersion != nil || req.MinorVersion != nil {
			e.refuse("ms_extension_template", isForbidden)
		}
		return
	}
	const path = "ms_extension_template."
	model := e.policy.model.MSExtensionTemplate
	id := oidOrNil(e.text(path+"id", rules.id, req.ID, validOID))
	if id == nil {
		if req.MajorVersion != nil || req.MinorVersion != nil {
			e.refuse(path+"id", isRequired)
		}
		return
	}
	major := e.integer(path+"major_version", model.MajorVersion, req.MajorVersion)
	minor := e.integer(path+"minor_version", model.MinorVersion, req.MinorVersion)
	if minor != nil && major == nil {
		e.refuse(path+"major_version", isRequired)
	}
	e.content.Template = &telamon.MicrosoftTemplate{Critical: model.Critical, ID: *id, MajorVersion: major, MinorVersion: minor}
}

// extensions evaluates custom_extensions, by OID.
func (e *evaluation) extensions() {
	for _, id := range sortedKeys(e.request.CustomExtensions) {
		if known := e.policy.extensionIDs[id]; !known && e.request.CustomExtensions[id] != "" {
			e.refuse("custom_extensions."+id, isForbidden)
		}
	}
	for i := range e.policy.extensions {
		rule := &e.policy.extensions[i]
		valid := func(text string) bool { return validValue(rule.ValueType, text) }
		text := e.text(rule.path, rule.text, e.request.CustomExtensions[rule.oid], valid)
		if text == "" {
			continue
		}
		extension := rule.id
		extension.Value = telamon.TypedValue{Type: rule.ValueType, Text: text}
		e.content.Extensions = append(e.content.Extensions, extension)
	}
}
