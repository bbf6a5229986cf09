package goleveldb_test

import (
	"context"
	"os"
	"testing"

	"github.com/onsi/ginkgo"
	"github.com/onsi/gomega"
	"github.com/syndtr/goleveldb/leveldb/iterator"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/testutil"
	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/levelparty/party"
	"github.com/levelparty/party/goleveldb"
	"github.com/levelparty/party/internal/dbtest"
	"github.com/levelparty/party/internal/vfs"
)

// TestSuite runs the tests that goleveldb has for its own DB, from its package
// testutil, on ours.
func TestSuite(t *testing.T) {
	if suiteRan {
		t.Skip("ginkgo can run a suite once in a process")
	}
	suiteRan = true
	testutil.RunSuite(t, "goleveldb")
}

var suiteRan bool

var _ = testutil.Defer(func() {
	ginkgo.Describe("as the leader", func() {
		suite(func(dir string) *goleveldb.DB { return openSuite(dir, party.Leader) })
	})
	if testing.Short() {
		return
	}
	if ok, _ := vfs.SharedMemoryWorks(os.TempDir()); ok {
		ginkgo.Describe("as a member", func() {
			suite(func(dir string) *goleveldb.DB {
				leadSuite(dir, nil)
				return openSuite(dir, party.Member)
			})
		})
	}
	ginkgo.Describe("as a guest", func() {
		suite(func(dir string) *goleveldb.DB {
			leadSuite(dir, &party.Options{Sockets: true})
			return openSuite(dir, party.Guest)
		})
	})
})

// leaders of the others' databases.
var leaders = make(map[string]*party.DB)

func leadSuite(dir string, o *party.Options) {
	leader, err := party.Open(context.Background(), dir, o)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	gomega.Eventually(leader.Role, "10s", "1ms").Should(gomega.Equal(party.Leader))
	leaders[dir] = leader
}

func openSuite(dir string, role party.Role) *goleveldb.DB {
	db, err := goleveldb.OpenFile(dir, &opt.Options{WriteBuffer: 1000})
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	gomega.Eventually(db.Party().Role, "10s", "1ms").Should(gomega.Equal(role))
	return db
}

// suite is goleveldb's external_test.go.
func suite(open func(dir string) *goleveldb.DB) {
	openNew := func() *suiteDB {
		dir, err := os.MkdirTemp("", "goleveldb-suite-")
		gomega.Expect(err).NotTo(gomega.HaveOccurred())
		return &suiteDB{DB: open(dir), dir: dir}
	}

	ginkgo.It("should do write correctly", func() {
		db := openNew()
		t := testutil.DBTesting{
			DB:      db,
			Deleted: testutil.KeyValue_Generate(nil, 500, 1, 1, 50, 5, 5).Clone(),
		}
		testutil.DoDBTesting(&t)
		db.TestClose()
	})

	ginkgo.Describe("read test", func() {
		testutil.AllKeyValueTesting(nil, nil, func(kv testutil.KeyValue) testutil.DB {
			db := openNew()
			kv.IterateShuffled(nil, func(i int, key, value []byte) {
				gomega.Expect(db.TestPut(key, value)).To(gomega.Succeed())
			})
			return db
		}, func(db testutil.DB) {
			db.(*suiteDB).TestClose()
		})
	})

	ginkgo.It("should do transaction correctly", func() {
		db := openNew()
		begin := func() *suiteTransaction {
			tr, err := db.OpenTransaction()
			gomega.Expect(err).NotTo(gomega.HaveOccurred())
			return &suiteTransaction{tr}
		}
		first := begin()
		t0 := &testutil.DBTesting{
			DB:      first,
			Deleted: testutil.KeyValue_Generate(nil, 200, 1, 1, 50, 5, 5).Clone(),
		}
		testutil.DoDBTesting(t0)
		testutil.TestGet(first, t0.Present)
		testutil.TestHas(first, t0.Present)
		testutil.TestIter(db, nil, testutil.KeyValue{})
		gomega.Expect(first.Commit()).To(gomega.Succeed())
		testutil.TestIter(db, nil, t0.Present)
		testutil.TestGet(db, t0.Present)
		testutil.TestHas(db, t0.Present)

		t0.DB = db
		testutil.DoDBTesting(t0)

		second := begin()
		t1 := &testutil.DBTesting{
			DB:      second,
			Deleted: t0.Deleted.Clone(),
			Present: t0.Present.Clone(),
		}
		testutil.DoDBTesting(t1)
		testutil.TestIter(db, nil, t0.Present)
		second.Discard()
		testutil.TestIter(db, nil, t0.Present)

		third := begin()
		t0.DB = third
		testutil.DoDBTesting(t0)
		gomega.Expect(third.Commit()).To(gomega.Succeed())
		testutil.TestIter(db, nil, t0.Present)
		db.TestClose()
	})
}

// suiteDB and suiteTransaction have the names that testutil looks for.

type suiteDB struct {
	*goleveldb.DB
	dir string
}

func (db *suiteDB) TestPut(key, value []byte) error    { return db.Put(key, value, nil) }
func (db *suiteDB) TestDelete(key []byte) error        { return db.Delete(key, nil) }
func (db *suiteDB) TestGet(key []byte) ([]byte, error) { return db.Get(key, nil) }
func (db *suiteDB) TestHas(key []byte) (bool, error)   { return db.Has(key, nil) }
func (db *suiteDB) TestNewIterator(slice *util.Range) iterator.Iterator {
	return db.NewIterator(slice, nil)
}

func (db *suiteDB) TestClose() {
	gomega.Expect(db.Close()).To(gomega.Succeed())
	if leader := leaders[db.dir]; leader != nil {
		gomega.Expect(leader.Close()).To(gomega.Succeed())
	}
	gomega.Expect(dbtest.Sound(db.dir)).To(gomega.Succeed())
	gomega.Expect(os.RemoveAll(db.dir)).To(gomega.Succeed())
}

type suiteTransaction struct{ *goleveldb.Transaction }

func (tr *suiteTransaction) TestPut(key, value []byte) error    { return tr.Put(key, value, nil) }
func (tr *suiteTransaction) TestDelete(key []byte) error        { return tr.Delete(key, nil) }
func (tr *suiteTransaction) TestGet(key []byte) ([]byte, error) { return tr.Get(key, nil) }
func (tr *suiteTransaction) TestHas(key []byte) (bool, error)   { return tr.Has(key, nil) }
func (tr *suiteTransaction) TestNewIterator(slice *util.Range) iterator.Iterator {
	return tr.NewIterator(slice, nil)
}
