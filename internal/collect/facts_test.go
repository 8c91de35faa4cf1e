package collect

import (
	"net"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/saba-monitor/saba"
)

func TestPlatform(t *testing.T) {
	for name, tt := range map[string]struct {
		files         map[string]string
		wantN, wantVe string
	}{
		"Debian, with its point release": {map[string]string{"etc/os-release": "ID=debian\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\n", "etc/debian_version": "12.5\n"}, "Debian", "12.5"},
		"Debian before a release":        {map[string]string{"etc/os-release": "ID=debian\n", "etc/debian_version": "trixie/sid\n"}, "Debian", "trixie/sid"},
		"Ubuntu": {map[string]string{"etc/os-release": "NAME=\"Ubuntu\"\nVERSION_ID=\"24.04\"\nID=ubuntu\nID_LIKE=debian\n", "etc/debian_version": "trixie/sid\n",
			"etc/lsb-release": "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=24.04\n"}, "Ubuntu", "24.04"},
		"Rocky": {map[string]string{"etc/os-release": "NAME=\"Rocky Linux\"\nID=\"rocky\"\nVERSION_ID=\"9.3\"\n", "etc/redhat-release": "Rocky Linux release 9.3 (Blue Onyx)\n"}, "Rocky Linux", "9.3"},
		"CentOS 7, whose os-release has no minor version": {map[string]string{"etc/os-release": "ID=\"centos\"\nVERSION_ID=\"7\"\n", "etc/redhat-release": "CentOS Linux release 7.9.2009 (Core)\n"}, "CentOS", "7.9.2009"},
		"Red Hat":                        {map[string]string{"etc/os-release": "ID=\"rhel\"\nVERSION_ID=\"9.4\"\n", "etc/redhat-release": "Red Hat Enterprise Linux release 9.4 (Plow)\n"}, "Red Hat Enterprise Linux", "9.4"},
		"Amazon":                         {map[string]string{"etc/os-release": "NAME=\"Amazon Linux\"\nID=\"amzn\"\nVERSION_ID=\"2023\"\n"}, "Amazon Linux", "2023"},
		"Oracle":                         {map[string]string{"etc/os-release": "ID=\"ol\"\nVERSION_ID=\"8.9\"\n", "etc/oracle-release": "Oracle Linux Server release 8.9\n"}, "Oracle Linux", "8.9"},
		"Alpine":                         {map[string]string{"etc/os-release": "ID=alpine\nVERSION_ID=3.19.1\n"}, "Alpine Linux", "3.19.1"},
		"Arch has no version":            {map[string]string{"etc/os-release": "ID=arch\n"}, "Arch Linux", ""},
		"unknown ones by their own name": {map[string]string{"etc/os-release": "ID=nixos\nNAME=NixOS\nVERSION_ID='23.11'\n"}, "NixOS", "23.11"},
		"os-release in /usr/lib alone":   {map[string]string{"usr/lib/os-release": "ID=fedora\nVERSION_ID=40\n"}, "Fedora", "40"},
		"CentOS 6":                       {map[string]string{"etc/redhat-release": "CentOS release 6.10 (Final)\n"}, "CentOS", "6.10"},
		"Red Hat 5":                      {map[string]string{"etc/redhat-release": "Red Hat Enterprise Linux Server release 5.11 (Tikanga)\n"}, "Red Hat Enterprise Linux", "5.11"},
		"Ubuntu before os-release":       {map[string]string{"etc/lsb-release": "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=10.04\n", "etc/debian_version": "squeeze/sid\n"}, "Ubuntu", "10.04"},
		"Debian before os-release":       {map[string]string{"etc/debian_version": "6.0.10\n"}, "Debian", "6.0.10"},
		"Slackware":                      {map[string]string{"etc/slackware-version": "Slackware 13.37.0\n"}, "Slackware", "13.37.0"},
		"nothing to go by":               {nil, "", ""},
		"an escaped name":                {map[string]string{"etc/os-release": `ID=odd` + "\n# NAME=no\n" + `NAME="A \"B\" \$C"`}, `A "B" $C`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			root := fstest.MapFS{}
			for file, text := range tt.files {
				root[file] = &fstest.MapFile{Data: []byte(text)}
			}
			if n, v := platform(root); n != tt.wantN || v != tt.wantVe {
				t.Errorf("platform %q %q, want %q %q", n, v, tt.wantN, tt.wantVe)
			}
		})
	}
}

func TestDescribeInterface(t *testing.T) {
	addr := func(s string) net.Addr {
		ip, n, err := net.ParseCIDR(s)
		if err != nil {
			t.Fatal(err)
		}
		return &net.IPNet{IP: ip, Mask: n.Mask}
	}
	for name, tt := range map[string]struct {
		addrs []net.Addr
		want  saba.Interface
		ok    bool
	}{
		"addresses without prefix, link-local ones too": {[]net.Addr{addr("192.0.2.10/24"), addr("2001:db8::10/64"), addr("fe80::1/64")},
			saba.Interface{Name: "eth0", MAC: "00:00:5e:00:53:01", IPv4: []string{"192.0.2.10"}, IPv6: []string{"2001:db8::10", "fe80::1"}}, true},
		"none":                    {nil, saba.Interface{}, false},
		"loopback alone":          {[]net.Addr{addr("127.0.0.1/8"), addr("::1/128")}, saba.Interface{}, false},
		"loopback and a real one": {[]net.Addr{addr("127.0.0.1/8"), addr("192.0.2.1/32")}, saba.Interface{Name: "eth0", MAC: "00:00:5e:00:53:01", IPv4: []string{"127.0.0.1", "192.0.2.1"}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := describeInterface("eth0", "00:00:5e:00:53:01", tt.addrs)
			if ok != tt.ok || ok && (got.Name != tt.want.Name || got.MAC != tt.want.MAC || !slices.Equal(got.IPv4, tt.want.IPv4) || !slices.Equal(got.IPv6, tt.want.IPv6)) {
				t.Errorf("got %+v, %v; want %+v, %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}
