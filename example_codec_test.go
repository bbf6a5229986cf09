package party_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/levelparty/party"
)

func ExampleJSON() {
	type user struct {
		Name  string   `json:"name"`
		Roles []string `json:"roles,omitempty"`
	}
	codec := party.JSON[user]()
	data, err := codec.Append(nil, user{Name: "<Ann>", Roles: []string{"admin"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", data)
	back, err := codec.Decode(data)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(back.Name)
	// Output:
	// {"name":"<Ann>","roles":["admin"]}
	// <Ann>
}

// A codec of one's own: times that sort, to the second.
type timeCodec struct{}

func (timeCodec) Append(dst []byte, t time.Time) ([]byte, error) {
	if t.Unix() < 0 {
		return nil, fmt.Errorf("time %v is before 1970", t)
	}
	return binary.BigEndian.AppendUint64(dst, uint64(t.Unix())), nil
}

func (timeCodec) Decode(data []byte) (time.Time, error) {
	if len(data) != 8 {
		return time.Time{}, fmt.Errorf("time of %d bytes", len(data))
	}
	return time.Unix(int64(binary.BigEndian.Uint64(data)), 0).UTC(), nil
}

func ExampleCodec() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "party")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := party.Open(ctx, dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()

	events := party.NewTyped(db, timeCodec{}, party.UTF8)
	noon := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	for i, text := range []string{"lunch", "coffee", "tea"} {
		if err := events.Put(ctx, noon.Add(time.Duration(i)*time.Hour), text); err != nil {
			log.Fatal(err)
		}
	}
	for e, err := range events.All(ctx, &party.RangeOf[time.Time]{GT: &noon}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Key.Format(time.TimeOnly), e.Value)
	}
	// Output:
	// 13:00:00 coffee
	// 14:00:00 tea
}
