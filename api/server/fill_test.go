package server

import (
	"crypto/sha256"
	"encoding/json"
	"reflect"
	"strings"
	"time"

	"github.com/grafos/grafos/api"
)

// filled returns a T in which no field is zero, so that one that is lost on the way shows.
func filled[T any]() T {
	var v T
	n := int64(1)
	fill(reflect.ValueOf(&v).Elem(), &n, 0)
	return v
}

func fill(v reflect.Value, n *int64, depth int) {
	*n++
	switch v.Type() {
	case reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Date(2026, 11, 1, 0, 0, int(*n%60), 5000000, time.UTC)))
		return
	case reflect.TypeFor[json.RawMessage]():
		v.Set(reflect.ValueOf(json.RawMessage(`{"a":1}`)))
		return
	case reflect.TypeFor[api.Kind]():
		v.SetString(string(api.QuotaExceeded))
		return
	}
	switch v.Kind() { //nolint:exhaustive // the api has no other
	case reflect.String:
		v.SetString("s" + strings.Repeat("x", int(*n%7)))
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(*n)
	case reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		if depth < 6 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), n, depth+1)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i), n, depth+1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, val := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, n, depth+1)
		fill(val, n, depth+1)
		v.SetMapIndex(key, val)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), n, depth+1)
			}
		}
	}
}

func digest(s string) api.Digest { return api.DigestOf(sha256.Sum256([]byte(s))) }

// reflectElem returns what a pointer points at.
func reflectElem(v any) any { return reflect.ValueOf(v).Elem().Interface() }
