// Package conformance drives the real server with the official Go clients.
//
// This file is the interpreter of the scenario files in `cases/`; README.md explains the words.
package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	pollDeadline = 30 * time.Second
	pollPause    = 10 * time.Millisecond
	region       = "cn-hangzhou"
)

type object = map[string]any

// client is one official library. Parameters and body are spelled as on the wire.
// A refusal is an answer, not an error; an error is a fault of client or transport.
type client interface {
	call(who principal, product, action string, parameters object, version string) (object, *refusal, error)
}

// refusal is what the user of a client sees when the server refuses; detail is the AccessDeniedDetail.
type refusal struct {
	code, message, requestID string
	status                   int
	detail                   object
}

func (r *refusal) String() string {
	return fmt.Sprintf("%d %s: %s (%s)", r.status, r.code, r.message, r.requestID)
}

type principal struct {
	AccessKeyID     string `json:"access_key_id"`
	AccessKeySecret string `json:"access_key_secret"`
	SecurityToken   string `json:"-"`
}

type step struct {
	Call         string            `json:"call"`
	Issue        string            `json:"issue"`
	As           any               `json:"as"`
	Version      string            `json:"version"`
	With         object            `json:"with"`
	Expect       object            `json:"expect"`
	Refused      any               `json:"refused"`
	SeenBy       map[string]any    `json:"seen_by"`
	Until        object            `json:"until"`
	UntilRefused any               `json:"until_refused"`
	Passing      object            `json:"passing"`
	Save         map[string]string `json:"save"`
	Request      string            `json:"request"`
	Role         string            `json:"role"`
	Authority    string            `json:"authority"`
	Curve        string            `json:"curve"`
	ForgetDistid bool              `json:"forget_distid"`
	NotFor       map[string]string `json:"not_for"`
	Why          string            `json:"why"`
}

type testCase struct {
	Name   string            `json:"name"`
	NotFor map[string]string `json:"not_for"`
	Steps  []json.RawMessage `json:"steps"`
}

type content struct {
	Chained  bool              `json:"chained"`
	Defaults map[string]object `json:"defaults"`
	Setup    []json.RawMessage `json:"setup"`
	Cases    []testCase        `json:"cases"`
}

func read(name string, into any) {
	text, err := os.ReadFile(filepath.Join(os.Getenv("CONFORMANCE_CASES"), name+".json"))
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		panic(err)
	}
}

// world is one scenario against one server: its variables, and the client that speaks.
type world struct {
	name      string
	client    client
	content   content
	errors    map[string]object
	variables object
	prepared  bool
	broken    string

	principals map[string]principal
}

func TestScenarios(t *testing.T) {
	name := os.Getenv("CONFORMANCE_CLIENT")
	var servers map[string]string
	if err := json.Unmarshal([]byte(os.Getenv("CONFORMANCE_SERVERS")), &servers); err != nil {
		t.Fatal(err)
	}
	scenarios := make([]string, 0, len(servers))
	for scenario := range servers {
		scenarios = append(scenarios, scenario)
	}
	sort.Strings(scenarios)
	for _, scenario := range scenarios {
		w := &world{name: name, client: newClient(name, servers[scenario]), variables: object{}}
		read(scenario, &w.content)
		read("errors", &w.errors)
		read("principals", &w.principals)
		for _, c := range w.content.Cases {
			if c.NotFor[name] != "" {
				continue
			}
			t.Run(scenario+" > "+c.Name, func(t *testing.T) {
				err := w.runCase(c)
				appendLine("CONFORMANCE_RESULTS", object{"client": name, "suite": scenario, "case": c.Name, "passed": err == nil})
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func newClient(name, endpoint string) client {
	protocol, host, _ := strings.Cut(endpoint, "://")
	switch name {
	case "go-core":
		return &coreClient{host: host}
	case "go-tea":
		return &teaClient{protocol: strings.ToUpper(protocol), host: host}
	}
	panic("no client " + name)
}

func (w *world) runCase(c testCase) error {
	if w.broken != "" {
		return fmt.Errorf("not run: %s failed", w.broken)
	}
	if !w.prepared {
		w.prepared = true
		if err := w.run(w.content.Setup); err != nil {
			w.broken = "the setup"
			return err
		}
	}
	err := w.run(c.Steps)
	if err != nil && w.content.Chained {
		w.broken = c.Name
	}
	return err
}

func (w *world) run(steps []json.RawMessage) error {
	for _, raw := range steps {
		s, err := w.decode(raw)
		if err == nil && s.NotFor[w.name] == "" {
			if s.Issue != "" {
				err = w.issue(s)
			} else {
				err = w.call(s)
			}
		}
		if err != nil {
			with, _ := json.Marshal(s.With)
			return fmt.Errorf("%s %s: %w", s.Call, with, err)
		}
	}
	return nil
}

// A string that is nothing but a variable is matched with its quotes: a number stays a number.
var variable = regexp.MustCompile(`"\$\{[\w.]+\}"|\$\{[\w.]+\}`)

// decode puts the variables' values into a step.
func (w *world) decode(raw json.RawMessage) (step, error) {
	var s step
	var lost error
	// The text is JSON, and so must be what is put into its strings.
	text := variable.ReplaceAllStringFunc(string(raw), func(found string) string {
		value, err := lookup(w.variables, strings.Trim(found, `"${}`))
		if err != nil {
			lost = err
			return found
		}
		if strings.HasPrefix(found, `"`) {
			whole, _ := json.Marshal(value)
			return string(whole)
		}
		quoted, _ := json.Marshal(plain(value))
		return string(quoted[1 : len(quoted)-1])
	})
	if lost != nil {
		return s, lost
	}
	return s, json.Unmarshal([]byte(text), &s)
}

// plain is the text of a scalar; whole numbers without exponent.
func plain(value any) string {
	if number, ok := value.(float64); ok {
		return strconv.FormatFloat(number, 'f', -1, 64)
	}
	return fmt.Sprint(value)
}

func lookup(value any, path string) (any, error) {
	for _, part := range strings.Split(path, ".") {
		switch inner := value.(type) {
		case object:
			value = inner[part]
		case []any:
			index, err := strconv.Atoi(part)
			if err != nil || index >= len(inner) {
				return nil, fmt.Errorf("no %s in %v", path, value)
			}
			value = inner[index]
		}
		if value == nil {
			return nil, fmt.Errorf("no value for %s", path)
		}
	}
	return value, nil
}

func (w *world) issue(s step) error {
	arguments := []string{"-m", "harness.authority", os.Getenv("CONFORMANCE_AUTHORITY"), "issue", "--role", s.Role}
	if s.Curve != "" {
		arguments = append(arguments, "--curve", s.Curve)
	}
	if s.Authority != "" {
		arguments = append(arguments, "--name", s.Authority)
	}
	if s.ForgetDistid {
		arguments = append(arguments, "--forget-distid")
	}
	command := exec.Command("python3", arguments...)
	command.Stdin = strings.NewReader(s.Request)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		return fmt.Errorf("%w: %s", err, stderr.String())
	}
	var issued object
	w.variables[s.Issue] = &issued
	err = json.Unmarshal(out, &issued)
	w.variables[s.Issue] = issued
	return err
}

func (w *world) call(s step) error {
	var answer object
	var err error
	switch {
	case s.Until != nil || s.UntilRefused != nil:
		answer, err = w.poll(s)
	case s.Refused != nil:
		wanted := s.Refused
		if own, ok := s.SeenBy[w.name]; ok {
			wanted = own
		}
		var seen *refusal
		answer, seen, err = w.send(s)
		if err == nil {
			err = w.checkRefusal(wanted, answer, seen)
		}
		return err
	default:
		var seen *refusal
		answer, seen, err = w.send(s)
		if err == nil && seen != nil {
			err = fmt.Errorf("refused: %v", seen)
		}
		if err == nil {
			err = check(s.Expect, answer)
		}
	}
	if err != nil {
		return err
	}
	for name, path := range s.Save {
		if w.variables[name], err = lookup(answer, path); err != nil {
			return err
		}
	}
	return nil
}

// identity is a named principal, root when none is, or that of a key or session the server answered.
func (w *world) identity(as any) principal {
	switch who := as.(type) {
	case string:
		return w.principals[who]
	case object:
		token, _ := who["SecurityToken"].(string)
		return principal{who["AccessKeyId"].(string), who["AccessKeySecret"].(string), token}
	}
	return w.principals["root"]
}

func (w *world) send(s step) (object, *refusal, error) {
	product, action, _ := strings.Cut(s.Call, ".")
	parameters := object{}
	for _, source := range []object{w.content.Defaults[product], s.With} {
		for key, value := range source {
			parameters[key] = value
		}
	}
	for key, value := range parameters {
		if value == nil {
			delete(parameters, key)
		}
	}
	answer, seen, err := w.client.call(w.identity(s.As), product, action, parameters, s.Version)
	switch {
	case err != nil:
	case seen != nil:
		appendLine("CONFORMANCE_COVERAGE", object{"operation": s.Call, "kind": "refusal", "client": w.name, "code": seen.code})
	default:
		appendLine("CONFORMANCE_COVERAGE", object{"operation": s.Call, "kind": "success", "client": w.name, "code": nil})
	}
	return answer, seen, err
}

func appendLine(variable string, record object) {
	path := os.Getenv(variable)
	if path == "" {
		return
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	line, _ := json.Marshal(record)
	if _, err := file.Write(append(line, '\n')); err != nil {
		panic(err)
	}
}

func (w *world) poll(s step) (object, error) {
	for deadline := time.Now().Add(pollDeadline); ; time.Sleep(pollPause) {
		answer, seen, err := w.send(s)
		if err != nil {
			return nil, err
		}
		if seen != nil {
			if s.UntilRefused == nil {
				return nil, fmt.Errorf("refused: %v", seen)
			}
			return nil, w.checkRefusal(s.UntilRefused, answer, seen)
		}
		still := "still there"
		if s.Until != nil {
			if still = difference(s.Until, answer, ""); still == "" {
				return answer, check(nil, answer)
			}
		}
		if s.Passing != nil {
			if strange := difference(s.Passing, answer, ""); strange != "" {
				return nil, fmt.Errorf("on the way: %s; wanted in the end: %s", strange, still)
			}
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("after %s: %s; last answer %v", pollDeadline, still, answer)
		}
	}
}

func check(expected, answer object) error {
	found := difference(object{"RequestId": object{"$any": true}}, answer, "")
	if found == "" {
		found = difference(expected, answer, "")
	}
	if found != "" {
		return fmt.Errorf("%s", found)
	}
	return nil
}

func (w *world) checkRefusal(given any, answer object, seen *refusal) error {
	if seen == nil {
		return fmt.Errorf("expected a refusal, got %v", answer)
	}
	own, ok := given.(object)
	if !ok {
		own = object{"code": given}
	}
	wanted := object{"message": object{"$any": true}}
	if code, ok := own["code"].(string); ok {
		for key, value := range w.errors[code] {
			wanted[key] = value
		}
	}
	for key, value := range own {
		wanted[key] = value
	}
	wanted["request_id"] = object{"$any": true}
	actual := object{"code": seen.code, "status": float64(seen.status), "message": seen.message, "request_id": seen.requestID, "detail": seen.detail}
	if found := difference(wanted, actual, ""); found != "" {
		return fmt.Errorf("%s; the refusal was: %v", found, seen)
	}
	return nil
}

// difference is empty when actual is as expected, else a sentence that says where it is not.
func difference(expected, actual any, path string) string {
	where := path
	if where == "" {
		where = "the answer"
	}
	switch wanted := expected.(type) {
	case object:
		for key, operand := range wanted {
			if strings.HasPrefix(key, "$") {
				return special(key, operand, actual, where)
			}
		}
		got, ok := actual.(object)
		if !ok {
			return fmt.Sprintf("%s: expected an object, got %v", where, actual)
		}
		for key, item := range wanted {
			if found := difference(item, got[key], strings.TrimPrefix(path+"."+key, ".")); found != "" {
				return found
			}
		}
		return ""
	case []any:
		got, _ := actual.([]any)
		if len(got) != len(wanted) {
			return fmt.Sprintf("%s: expected %d elements, got %v", where, len(wanted), actual)
		}
		for index, item := range wanted {
			if found := difference(item, got[index], fmt.Sprintf("%s[%d]", path, index)); found != "" {
				return found
			}
		}
		return ""
	}
	if !reflect.DeepEqual(expected, actual) {
		return fmt.Sprintf("%s: expected %v, got %v", where, expected, actual)
	}
	return ""
}

func special(name string, operand, actual any, where string) string {
	items, _ := operand.([]any)
	candidates, _ := actual.([]any)
	matched := func() bool {
		for _, item := range items {
			good := false
			for _, candidate := range candidates {
				good = good || difference(item, candidate, "") == ""
			}
			if !good {
				return false
			}
		}
		return true
	}
	good := false
	switch name {
	case "$any":
		good = !empty(actual)
	case "$none":
		good = empty(actual)
	case "$not":
		good = difference(operand, actual, "") != ""
	case "$like":
		good = actual != nil && regexp.MustCompile(operand.(string)).MatchString(plain(actual))
	case "$has":
		good = matched()
	case "$set":
		good = len(items) == len(candidates) && matched()
	default:
		panic("no matcher " + name)
	}
	if good {
		return ""
	}
	return fmt.Sprintf("%s: expected %s %v, got %v", where, name, operand, actual)
}

func empty(value any) bool {
	switch inner := value.(type) {
	case nil:
		return true
	case string:
		return inner == ""
	case []any:
		return len(inner) == 0
	case object:
		// A typed answer has structures even for what was not sent, with nothing in them.
		for _, item := range inner {
			if !empty(item) {
				return false
			}
		}
		return true
	}
	return false
}

// asObject turns a client's typed body into the JSON object it stands for.
func asObject(body any) (object, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	var result object
	return result, json.Unmarshal(text, &result)
}

// flatten gives Name.1 and Tag.1.Key: what a caller of a generic interface writes by hand.
func flatten(parameters object) map[string]string {
	flat := map[string]string{}
	var walk func(prefix string, value any)
	walk = func(prefix string, value any) {
		switch inner := value.(type) {
		case []any:
			for index, item := range inner {
				walk(fmt.Sprintf("%s.%d", prefix, index+1), item)
			}
		case object:
			for key, item := range inner {
				walk(strings.TrimPrefix(prefix+"."+key, "."), item)
			}
		default:
			flat[prefix] = plain(value)
		}
	}
	walk("", parameters)
	return flat
}
