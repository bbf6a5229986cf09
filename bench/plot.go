package main

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// The picture is a grid of panels, one for each workload, of bars for each peer:
// one for each number of processes, the more the darker. All lengths are in
// pixels.
const (
	panelWidth  = 420
	panelGap    = 28
	columns     = 2
	peerHeight  = 24
	labelWidth  = 100
	valueWidth  = 62
	titleHeight = 26
)

// panel is one workload: what each peer reached, by number of processes; none if
// it could not.
type panel struct {
	title, unit string
	bars        map[string][]float64
	text        func(float64) string
}

func (r *results) panels() (list []panel) {
	for _, load := range workloads {
		p := panel{load.title, load.unit, map[string][]float64{}, brief}
		for _, peer := range r.Peers {
			for _, n := range r.Settings.Processes {
				if o := r.find(peer.Name, load.name, n); o != nil && !(peer.Alone && len(p.bars[peer.Name]) > 0) {
					p.bars[peer.Name] = append(p.bars[peer.Name], o.median())
				}
			}
		}
		if len(p.bars) > 0 {
			list = append(list, p)
		}
	}
	p := panel{"whole short process", "ms, less is better", map[string][]float64{}, func(v float64) string { return fmt.Sprintf("%.3g", v) }}
	for _, peer := range r.Peers {
		if t := r.short(peer.Name); t != 0 {
			p.bars[peer.Name] = []float64{float64(t) / float64(time.Millisecond)}
		}
	}
	if len(p.bars) > 0 {
		list = append(list, p)
	}
	return list
}

// plot is results.svg.
func (r *results) plot() []byte {
	panels := r.panels()
	panelHeight := titleHeight + len(r.Peers)*peerHeight + 20
	rows := (len(panels) + columns - 1) / columns
	width, height := columns*panelWidth+(columns-1)*panelGap, rows*panelHeight+22

	var w bytes.Buffer
	fmt.Fprintf(&w, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="Operations per second through party and its peers">`+"\n",
		width, height, width, height)
	w.WriteString(`<style>
text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 13px }
.quiet { fill: #6e7781 }
.small { font-size: 10px }
.ours { font-weight: 600 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .quiet { fill: #8b949e } }
</style>
`)
	for i, p := range panels {
		x, y := i%columns*(panelWidth+panelGap), i/columns*panelHeight
		fmt.Fprintf(&w, `<g transform="translate(%d %d)">`+"\n", x, y)
		r.plotPanel(&w, p)
		w.WriteString("</g>\n")
	}
	fmt.Fprintf(&w, `<text class="quiet" x="0" y="%d">%s. Median of %d rounds; %s processes, the more the darker.</text>`+"\n",
		height-6, escape(r.Machine.short()), r.Settings.Rounds, counts(r.Settings.Processes))
	w.WriteString("</svg>\n")
	return w.Bytes()
}

func (r *results) plotPanel(w *bytes.Buffer, p panel) {
	most := 0.0
	for _, values := range p.bars {
		most = max(most, slices.Max(values))
	}
	fmt.Fprintf(w, `<text class="title" x="0" y="14">%s</text><text class="quiet" x="%d" y="14" text-anchor="end">%s</text>`+"\n",
		escape(p.title), panelWidth, escape(p.unit))
	for i, peer := range r.Peers {
		y := titleHeight + i*peerHeight
		class := "other"
		if peer.Name == partyPeer.name {
			class = "ours"
		}
		fmt.Fprintf(w, `<text class="%s" x="%d" y="%d" text-anchor="end">%s</text>`, class, labelWidth-8, y+14, peer.Name)
		values := p.bars[peer.Name]
		if len(values) == 0 {
			fmt.Fprintf(w, `<text class="quiet small" x="%d" y="%d">not measured</text>`, labelWidth, y+14)
		}
		// All bars of a peer together are as thick for all.
		thick := float64(peerHeight-4) / float64(max(1, len(values)))
		for j, v := range values {
			top := float64(y) + float64(j)*thick
			length := max(1, v/most*(panelWidth-labelWidth-valueWidth))
			opacity := math.Pow(.55, float64(len(values)-1-j))
			fmt.Fprintf(w, `<rect x="%d" y="%.1f" width="%.1f" height="%.1f" rx="1" fill="%s" opacity="%.2f"/>`, labelWidth, top, length, thick-1, peer.Color, opacity)
			fmt.Fprintf(w, `<text class="%s small" x="%.1f" y="%.1f">%s</text>`, class, labelWidth+length+5, top+thick/2+3, p.text(v))
		}
		w.WriteString("\n")
	}
}

func (m machine) short() string { return fmt.Sprintf("%s, %d cores, %s", m.CPU, m.Cores, m.System) }

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}
