package server

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/saba-monitor/saba/internal/tsdb"
)

// troubles returns what is wrong with the data folder at the moment, for the people who manage saba.
func (s *Server) troubles() []string {
	dir := filepath.Join(s.opts.Data, "samples")
	var all []string
	if room, err := tsdb.DiskRoom(dir); err != nil {
		all = append(all, fmt.Sprintf("saba cannot tell how full its disk is: %v.", err))
	} else if text := roomTrouble(s.opts.Data, room); text != "" {
		all = append(all, text)
	}
	if damaged, err := tsdb.Damaged(dir); err != nil {
		all = append(all, fmt.Sprintf("saba cannot tell whether parts of its samples are damaged: %v.", err))
	} else if len(damaged) > 0 {
		all = append(all, damageTrouble(filepath.Join(dir, "damaged"), damaged))
	}
	return all
}

// roomTrouble says what to do about the disk of the data folder; "" when there is room.
func roomTrouble(data string, r tsdb.Room) string {
	switch {
	case r.Full():
		return fmt.Sprintf("The disk of %s is full: %d MiB are free, and saba leaves %d MiB alone. No samples are stored. Agents keep theirs and send them when there is room: make some within a day, or move the data folder to a larger disk.",
			data, r.Free>>20, r.Need>>20)
	case r.Near():
		return fmt.Sprintf("The disk of %s is nearly full: %d MiB are free. With less than %d MiB free no samples are stored. Make room, give saba a larger disk, or let it keep less with --retention-size.",
			data, r.Free>>20, r.Need>>20)
	}
	return ""
}

// damageTrouble says what to do about damaged parts that were moved to folder.
func damageTrouble(folder string, names []string) string {
	const most = 3
	list := strings.Join(names[:min(most, len(names))], ", ")
	if len(names) > most {
		list += fmt.Sprintf(" and %d more", len(names)-most)
	}
	return fmt.Sprintf("Damaged samples were set aside in %s (%s): charts lack them. Restore a backup that has them, or delete that folder to do without. saba's log says of which time they are.", folder, list)
}
