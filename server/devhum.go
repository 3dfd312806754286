//go:build !production

package main

import (
	"bytes"
	"encoding/binary"
	"math"
)

const humRate = 8000 // samples a second, as on the telephone

// hummed is a WAV file of 16 bits in which the agent hums higher than the caller, while either speaks, in syllables.
func hummed(script []devLine, outcome string) []byte {
	pitch := map[string]float64{"agent": 205, "caller": 128}
	var samples []int16
	for _, line := range script {
		if line.Outcome != outcome {
			continue
		}
		from, to := line.StartedMs*humRate/1000, line.EndedMs*humRate/1000
		samples = append(samples, make([]int16, to-len(samples))...)
		for i := from; i < to; i++ {
			at := float64(i) / humRate
			syllable := math.Abs(math.Sin(2*math.Pi*2.3*at)) * (0.6 + 0.4*math.Sin(2*math.Pi*0.31*at))
			tone := math.Sin(2*math.Pi*pitch[line.Speaker]*at) + 0.4*math.Sin(4*math.Pi*pitch[line.Speaker]*at) + 0.2*math.Sin(14*math.Pi*pitch[line.Speaker]*at)
			samples[i] = int16(4500 * syllable * tone)
		}
	}
	const header = 36 // bytes of the file's header after its first 8
	var file bytes.Buffer
	size := uint32(2 * len(samples)) //nolint:gosec // minutes at most
	for _, part := range []any{
		[]byte("RIFF"), header + size, []byte("WAVEfmt "), uint32(16), uint16(1), uint16(1), uint32(humRate), uint32(2 * humRate), uint16(2), uint16(16),
		[]byte("data"), size, samples,
	} {
		_ = binary.Write(&file, binary.LittleEndian, part) // into memory
	}
	return file.Bytes()
}
