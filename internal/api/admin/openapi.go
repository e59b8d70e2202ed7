package admin

import (
	"encoding"
	"encoding/json"
	"net/http"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// documentPath is where the document is that describes the API, for everybody.
const documentPath = "/openapi.json"

// A registered is a route, with the status of its answer if nothing is refused.
type registered struct {
	pattern string
	status  int
}

// An operation documents a route: every one has a line in the table of operations.
type operation struct {
	does    string            // in one line
	in, out any               // a value of the type of the body that it takes and answers; nil: none
	query   map[string]string // its parameters, and what they say
}

// jsonObject is a JSON object of the document.
type jsonObject = map[string]any

// serveDocument answers with the document.
func (s *server) serveDocument(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		s.refuse(w, r, http.StatusMethodNotAllowed, errNoRoute)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(s.document())
}

const documentIntroduction = `The API of operators and of machines. On the admin socket an operator calls the paths as they are; over TLS a service user
calls them below /v1 with its API token, and what its roles allow is done. What reaches beyond the user's own account is for
the CA's staff, who show the service user's client certificate as well (403 client_certificate_needed).

Lists are cut: "next" of an answer is the parameter "after" of the next part. What needs a second operator is answered with
409 approval_needed and waits under /approvals. What belongs to another account is not found (404).`

// describe returns the document, of the registered routes and the types of their bodies.
func (s *server) describe() []byte {
	schemas, paths := schemaSet{}, jsonObject{}
	for _, route := range s.routes {
		method, path, _ := strings.Cut(route.pattern, " ")
		item, ok := paths[path].(jsonObject)
		if !ok {
			item = jsonObject{}
			paths[path] = item
		}
		item[strings.ToLower(method)] = describeRoute(route, operations[route.pattern], schemas)
	}
	schemas.of(reflect.TypeFor[Problem]())
	text, err := json.MarshalIndent(jsonObject{
		"openapi": "3.0.3",
		"info":    jsonObject{"title": "Telamon admin API", "version": s.Version, "description": documentIntroduction},
		"servers": []any{jsonObject{"url": MachinePrefix, "description": "machines, over TLS"}},
		"paths":   paths,
		"components": jsonObject{
			"schemas": schemas,
			"securitySchemes": jsonObject{
				"token": jsonObject{"type": "http", "scheme": "bearer", "description": "an API token of a service user"},
				"key":   jsonObject{"type": "apiKey", "in": "header", "name": "x-api-key", "description": "the same token"},
			},
		},
		"security": []any{jsonObject{"token": []any{}}, jsonObject{"key": []any{}}},
	}, "", "  ")
	if err != nil {
		panic(err) // nothing of it can fail to be encoded
	}
	return append(text, '\n')
}

var pathParameter = regexp.MustCompile(`\{(\w+)\}`)

// describeRoute returns the operation object of a route.
func describeRoute(route registered, op operation, schemas schemaSet) jsonObject {
	parameters := []any{}
	for _, name := range pathParameter.FindAllStringSubmatch(route.pattern, -1) {
		what := "the ID of the " + strings.ReplaceAll(name[1], "_", " ")
		if name[1] == "account" {
			what += ", or its name for who may see every account"
		}
		parameters = append(parameters, parameter(name[1], "path", what))
	}
	for _, name := range sortedKeys(op.query) {
		parameters = append(parameters, parameter(name, "query", op.query[name]))
	}
	answer := jsonObject{"description": http.StatusText(route.status)}
	if op.out != nil {
		answer["content"] = jsonObject{"application/json": jsonObject{"schema": schemas.of(reflect.TypeOf(op.out))}}
	}
	out := jsonObject{
		"operationId": operationID(route.pattern), "summary": op.does, "parameters": parameters,
		"responses": jsonObject{
			strconv.Itoa(route.status): answer,
			"default": jsonObject{
				"description": "a refusal, with its code",
				"content":     jsonObject{"application/problem+json": jsonObject{"schema": schemas.of(reflect.TypeFor[Problem]())}},
			},
		},
	}
	if op.in != nil {
		out["requestBody"] = jsonObject{
			"required": true, "content": jsonObject{"application/json": jsonObject{"schema": schemas.of(reflect.TypeOf(op.in))}},
		}
	}
	return out
}

func parameter(name, in, says string) jsonObject {
	return jsonObject{"name": name, "in": in, "required": in == "path", "description": says, "schema": jsonObject{"type": "string"}}
}

// operationID is the pattern in the letters that generators of clients take.
func operationID(pattern string) string {
	return strings.Trim(regexp.MustCompile(`\W+`).ReplaceAllString(strings.ToLower(pattern), "_"), "_")
}

// A schemaSet holds the schemas of types by their names.
type schemaSet map[string]any

var (
	timeType   = reflect.TypeFor[time.Time]()
	rawType    = reflect.TypeFor[json.RawMessage]()
	textType   = reflect.TypeFor[encoding.TextMarshaler]()
	encodeType = reflect.TypeFor[json.Marshaler]()
)

// of returns the schema of what encoding/json makes of a value of the type.
func (set schemaSet) of(t reflect.Type) jsonObject {
	switch {
	case t.Kind() == reflect.Pointer:
		return set.of(t.Elem())
	case t == timeType:
		return jsonObject{"type": "string", "format": "date-time"}
	case t == rawType:
		return jsonObject{}
	case t.Implements(encodeType):
		return jsonObject{}
	case t.Implements(textType):
		return jsonObject{"type": "string"}
	}
	switch t.Kind() {
	case reflect.String:
		return jsonObject{"type": "string"}
	case reflect.Bool:
		return jsonObject{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return jsonObject{"type": "number"}
	case reflect.Interface:
		return jsonObject{}
	case reflect.Map:
		return jsonObject{"type": "object", "additionalProperties": set.of(t.Elem())}
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 && t.Kind() == reflect.Slice {
			return jsonObject{"type": "string", "format": "byte"}
		}
		return jsonObject{"type": "array", "items": set.of(t.Elem())}
	case reflect.Struct:
		return set.ofStruct(t)
	default:
		return jsonObject{"type": "integer"}
	}
}

// ofStruct returns a reference to the schema of a struct, which it adds to the set.
func (set schemaSet) ofStruct(t reflect.Type) jsonObject {
	name := schemaName(t)
	if set[name] == nil {
		schema := jsonObject{"type": "object"}
		set[name] = schema // first, for types that hold themselves
		properties, required := jsonObject{}, []string{}
		set.addFields(t, properties, &required)
		schema["properties"] = properties
		if len(required) > 0 {
			schema["required"] = required
		}
	}
	return jsonObject{"$ref": "#/components/schemas/" + name}
}

// addFields adds the members that encoding/json makes of the fields of a struct.
func (set schemaSet) addFields(t reflect.Type, properties jsonObject, required *[]string) {
	for field := range t.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case field.Anonymous && name == "":
			set.addFields(field.Type, properties, required)
			continue
		case !field.IsExported() || name == "-":
			continue
		case name == "":
			name = field.Name
		}
		schema := set.of(field.Type)
		optional := strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero")
		if !optional {
			*required = append(*required, name)
		}
		if field.Type.Kind() == reflect.Pointer && !optional {
			schema = jsonObject{"allOf": []any{schema}, "nullable": true}
		}
		properties[name] = schema
	}
}

// schemaName names the schema of a struct: by its type's name, after that of its package
// if that is another one; a List by what it lists.
func schemaName(t reflect.Type) string {
	name, of, isGeneric := strings.Cut(t.Name(), "[")
	if isGeneric {
		of = strings.TrimSuffix(of, "]")
		return of[strings.LastIndex(of, ".")+1:] + name
	}
	here := reflect.TypeFor[Problem]().PkgPath()
	if pkg := t.PkgPath(); pkg != here {
		pkg = pkg[strings.LastIndex(pkg, "/")+1:]
		name = strings.ToUpper(pkg[:1]) + pkg[1:] + name
	}
	return name
}
