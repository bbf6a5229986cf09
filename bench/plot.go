package main

import (
	"bytes"
	"fmt"
	"strings"
)

// plotted are the peers of the picture: those that share among processes.
var plotted = []string{"party", "rave-level", "level-party", "rave-on-party", "redis", "redis-aof"}

// The picture is a grid of panels, one for each workload, of a bar for each
// peer. All lengths are in pixels.
const (
	panelWidth  = 420
	panelGap    = 28
	columns     = 2
	barHeight   = 16
	barStep     = 22
	labelWidth  = 100
	valueWidth  = 78
	titleHeight = 30
)

// plot is results.svg.
func (r *results) plot() []byte {
	var panels []workload
	for _, w := range workloads {
		if r.find(partyGuestPeer.name, w.name) != nil {
			panels = append(panels, w)
		}
	}
	var peers []peerText
	for _, p := range r.Peers {
		for _, name := range plotted {
			if p.Name == name {
				peers = append(peers, p)
			}
		}
	}
	panelHeight := titleHeight + len(peers)*barStep + 22
	rows := (len(panels) + columns - 1) / columns
	width, height := columns*panelWidth+(columns-1)*panelGap, rows*panelHeight+22

	var w bytes.Buffer
	fmt.Fprintf(&w, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="Operations per second through party and its peers">`+"\n",
		width, height, width, height)
	w.WriteString(`<style>
text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 13px }
.quiet { fill: #6e7781 }
.ours { font-weight: 600 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .quiet { fill: #8b949e } }
</style>
`)
	for i, load := range panels {
		x, y := i%columns*(panelWidth+panelGap), i/columns*panelHeight
		fmt.Fprintf(&w, `<g transform="translate(%d %d)">`+"\n", x, y)
		r.plotPanel(&w, load, peers)
		w.WriteString("</g>\n")
	}
	fmt.Fprintf(&w, `<text class="quiet" x="0" y="%d">%s. Median of %d rounds, %d worker process(es) beside the leader.</text>`+"\n",
		height-6, escape(r.Machine.short()), r.Settings.Rounds, r.Settings.Workers)
	w.WriteString("</svg>\n")
	return w.Bytes()
}

func (r *results) plotPanel(w *bytes.Buffer, load workload, peers []peerText) {
	var most float64
	for _, p := range peers {
		if o := r.find(p.Name, load.name); o != nil {
			most = max(most, o.median())
		}
	}
	fmt.Fprintf(w, `<text class="title" x="0" y="16">%s</text><text class="quiet" x="%d" y="16" text-anchor="end">%s</text>`+"\n",
		escape(load.title), panelWidth, load.unit)
	for i, p := range peers {
		y := titleHeight + i*barStep
		class := "other"
		if p.Name == partyGuestPeer.name {
			class = "ours"
		}
		fmt.Fprintf(w, `<text class="%s" x="%d" y="%d" text-anchor="end">%s</text>`, class, labelWidth-8, y+12, p.Name)
		o := r.find(p.Name, load.name)
		if o == nil {
			fmt.Fprintf(w, `<text class="quiet" x="%d" y="%d">cannot</text>`+"\n", labelWidth, y+12)
			continue
		}
		length := max(1, o.median()/most*(panelWidth-labelWidth-valueWidth))
		fmt.Fprintf(w, `<rect x="%d" y="%d" width="%.1f" height="%d" rx="2" fill="%s"/>`, labelWidth, y, length, barHeight, p.Color)
		fmt.Fprintf(w, `<text class="%s" x="%.1f" y="%d">%s</text>`+"\n", class, labelWidth+length+6, y+12, number(o.median()))
	}
}

func (m machine) short() string { return fmt.Sprintf("%s, %d cores, %s", m.CPU, m.Cores, m.System) }

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}
