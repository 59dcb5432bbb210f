package fsm

import (
	"fmt"
	"reflect"
	"time"

	"github.com/grafos/grafos/api"
)

// lastKind is the newest kind; a test below fails when one is added behind it.
const lastKind = newestKind

// kindName returns the name of the command struct.
func kindName(k Kind) string { return reflect.TypeOf(k.make()).Elem().Name() }

// fill sets every field of v to something that is not its zero value, the same every time.
func fill(v reflect.Value, n *int) {
	*n++
	switch k := v.Kind(); {
	case k == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case k == reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.UnixMilli(startWall + int64(*n)).UTC()))
			return
		}
		for _, f := range v.Fields() {
			fill(f, n)
		}
	case k == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), n)
	case k == reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("zone"), reflect.ValueOf("z"))
	case k == reflect.String:
		v.SetString(fmt.Sprintf("s%d", *n))
	case k == reflect.Bool:
		v.SetBool(true)
	case v.CanInt():
		v.SetInt(int64(*n))
	case v.CanUint():
		v.SetUint(uint64(*n))
	default:
		panic("no filler for " + k.String())
	}
}

// filled returns a command of a kind with every field set.
func filled(k Kind) Command {
	c := k.make()
	n := 0
	fill(reflect.ValueOf(c).Elem(), &n)
	return c
}

// records lists an empty record of every table.
func emptyRecords() []any {
	return []any{api.Provider{}, api.CellRecord{}, api.Tenant{}, api.Lease{}, api.Run{}, BlobRef{}, IdemRecord{}, TokenRecord{}}
}
