package mysql

import "testing"

func TestReplicaStatement(t *testing.T) {
	for version, want := range map[string]string{
		"10.11.6-MariaDB-0+deb12u1-log": "SHOW ALL SLAVES STATUS",
		"5.5.5-10.4.8-MariaDB":          "SHOW ALL SLAVES STATUS",
		"5.7.44-log":                    "SHOW SLAVE STATUS",
		"8.0.21":                        "SHOW SLAVE STATUS",
		"8.0.22":                        "SHOW REPLICA STATUS",
		"8.0.36-0ubuntu0.22.04.1":       "SHOW REPLICA STATUS",
		"8.4.0":                         "SHOW REPLICA STATUS",
		"9.1.0":                         "SHOW REPLICA STATUS",
		"8.0.11-TiDB-v7.5.0":            "SHOW SLAVE STATUS",
		"":                              "SHOW SLAVE STATUS",
		"what a server calls itself when it was renamed": "SHOW SLAVE STATUS",
	} {
		if got := replicaStatement(version); got != want {
			t.Errorf("a server of version %q is asked %q, want %q", version, got, want)
		}
	}
}

func TestReadSource(t *testing.T) {
	for name, tt := range map[string]struct {
		columns, row []string
		want         Source
	}{
		"MySQL from 8.0.22 on": {
			[]string{"Replica_IO_State", "Source_Host", "Source_Port", "Replica_IO_Running", "Replica_SQL_Running", "Seconds_Behind_Source", "Last_IO_Error", "Last_SQL_Error", "Channel_Name"},
			[]string{"", "db1", "3306", "Connecting", "Yes", "", "cannot connect", "", "west"},
			Source{Name: "west", Host: "db1", Port: "3306", IO: "Connecting", SQL: "Yes", Error: "cannot connect"}},
		"MySQL before": {
			[]string{"Slave_IO_State", "Master_Host", "Master_Port", "Slave_IO_Running", "Slave_SQL_Running", "Seconds_Behind_Master", "Last_IO_Error", "Last_SQL_Error", "Channel_Name"},
			[]string{"Waiting for master to send event", "db1", "3307", "Yes", "Yes", "12", "", "", ""},
			Source{Host: "db1", Port: "3307", IO: "Yes", SQL: "Yes", Lag: "12"}},
		"MariaDB, which applies no more": {
			[]string{"Connection_name", "Slave_SQL_State", "Master_Host", "Master_Port", "Slave_IO_Running", "Slave_SQL_Running", "Seconds_Behind_Master", "Last_IO_Error", "Last_SQL_Error"},
			[]string{"", "", "db1", "3306", "Yes", "No", "", "old", "duplicate entry"},
			Source{Host: "db1", Port: "3306", IO: "Yes", SQL: "No", Error: "duplicate entry"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := readSource(tt.columns, tt.row); got != tt.want {
				t.Errorf("readSource = %+v, want %+v", got, tt.want)
			}
		})
	}
}
