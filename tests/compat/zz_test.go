package compat
import ("testing";"os";"io";"os/exec";"path/filepath"
"github.com/levelparty/party/internal/format"
"github.com/levelparty/party/internal/format/manifest"
"github.com/levelparty/party/internal/format/wal")
func dumpDir(t *testing.T, dir string) {
	out, _ := exec.Command("ls", "-la", dir).CombinedOutput()
	t.Log(string(out))
	ms,_ := filepath.Glob(dir+"/MANIFEST*")
	for _, m := range ms { f,_ := os.Open(m); r := wal.NewReader(f,"m",0,-1)
	 for { p,_,err := r.Next(); if err==io.EOF {break}; if err!=nil {t.Log(err);continue}
	 var e manifest.Edit; if err := e.Decode(p); err!=nil {t.Log(err)}
	 s := ""
	 for _, a := range e.Added { s += " +"+format.TableName(a.Num)+"@"+string(rune('0'+a.Level)) }
	 t.Log(filepath.Base(m), "log",e.HasLogNumber,e.LogNumber,"next",e.NextFile,"seq",e.HasLastSeq,e.LastSeq,"del",e.Deleted,s) } }
}
