"""What the programs of run.py are given and what they must print: the same on every CPU, as on real hardware."""

BASH = r"""
set -u
add() { local -i a=$1 b=$2; echo $((a + b)); }
words=(zebra apple mango apple)
declare -A seen
for w in "${words[@]}"; do seen[$w]=$(( ${seen[$w]:-0} + 1 )); done
for w in $(printf '%s\n' "${!seen[@]}" | sort); do echo "$w ${seen[$w]}"; done
[[ "doppel-2026" =~ ^([a-z]+)-([0-9]+)$ ]] && echo "${BASH_REMATCH[2]} ${BASH_REMATCH[1]^^}"
echo "sum $(add 40 2) hex $((16#ff)) pow $((3 ** 20)) neg $((-7 / 2)) $((-7 % 3))"
printf '%05.2f|%-6s|%x|%q\n' 3.14159 ab 48879 "it's"
cat <<END | tr a-z A-Z | while read -r line; do echo "<$line>"; done
here document
$(echo nested)
END
trap 'echo usr1' USR1
kill -USR1 $$
(exit 7); echo "status $?"
{ sleep 0.05; echo background; } & wait $!
diff=$(comm -12 <(printf '%s\n' a b c) <(printf '%s\n' b c d) | tr '\n' ' ')
echo "common $diff"
mapfile -t lines < <(seq 1 3); echo "${#lines[@]} ${lines[2]}"
s=abcdefgh; echo "${s:2:3} ${s/cd/__} ${s%f*} ${#s}"
seq 1 200 | sort -r | head -n 3 | tr '\n' ','; echo
sha256sum < /dev/null | cut -c1-16
trap 'echo bye' EXIT
"""
BASH_OUT = """apple 2
mango 1
zebra 1
2026 DOPPEL
sum 42 hex 255 pow 3486784401 neg -3 -1
03.14|ab    |beef|it\\'s
<HERE DOCUMENT>
<NESTED>
usr1
status 7
background
common b c 
3 3
cde ab__efgh abcde 8
99,98,97,
e3b0c44298fc1c14
bye
"""

PERL = r"""
use strict; use warnings; use Digest::SHA qw(sha1_hex); use List::Util qw(sum max); use POSIX qw(floor);
my %h; $h{length $_}{$_}++ for qw(one two three four five six seven);
print join(" ", map { "$_:" . join("/", sort keys %{$h{$_}}) } sort keys %h), "\n";
(my $t = "The quick brown fox") =~ s/(\w+)/\u\L$1\E!/g; print "$t\n";
print join(",", map { sprintf "%.3e", $_ ** 3.5 } 1 .. 4), " ", sum(1 .. 100), " ", max(3, 9, 4), " ", floor(-2.5), "\n";
print unpack("H*", pack("nNvVd>", 1, 2, 3, 4, 1.5)), "\n";
print sha1_hex("doppel"), "\n";
my $pid = fork() // die; if (!$pid) { exit 5 } waitpid $pid, 0; print "child ", $? >> 8, "\n";
open my $p, "-|", "echo from a pipe" or die; print <$p>; close $p;
local $SIG{ALRM} = sub { die "alarm\n" }; eval { alarm 1; select undef, undef, undef, 10; }; print "caught $@";
my @s = sort { $a <=> $b } map { ($_ * 7919) % 1009 } 1 .. 1000; print "$s[0] $s[500] $s[-1]\n";
print "2**64 ", 18446744073709551615, " ", 0.1 + 0.2, " ", 1e21, "\n";
my $text = "x" x 50000 . "needle" . "y" x 50000; print $text =~ /needle/ ? "at $-[0]\n" : "no\n";
"""
PERL_OUT = """3:one/six/two 4:five/four 5:seven/three
The! Quick! Brown! Fox!
1.000e+00,1.131e+01,4.677e+01,1.280e+02 5050 9 -3
0001000000020300040000003ff8000000000000
110be449498c013777e7dd6f7504a71bd789127d
child 5
from a pipe
caught alarm
1 506 1008
2**64 18446744073709551615 0.3 1e+21
at 50000
"""

SQL = """
create table t(id integer primary key, name text, v real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000) insert into t select i, printf('row%05d', i * 7919 % 5000), i * 0.5 from n;
create index by_name on t(name);
select count(*), sum(v), round(avg(v), 3), min(name), max(name) from t;
select name, v from t where name between 'row00010' and 'row00013' order by name;
select id, v, sum(v) over (order by id rows between 1 preceding and 1 following) from t where id <= 3;
select group_concat(x, '-') from (select distinct id % 7 as x from t order by x);
update t set v = v * 2 where id % 3 = 0; delete from t where id % 5 = 0;
select count(*), cast(total(v) as integer) from t;
pragma integrity_check;
select json_extract('{"a":[1,{"b":2.5}]}', '$.a[1].b'), hex(zeroblob(3)), upper('grün'), 1e308 * 10, 7 / 2, -7 % 3, 9223372036854775807;
"""
SQL_OUT = """5000|6251250.0|1250.25|row00000|row04999
row00010|895.0
row00011|2234.5
row00012|1074.0
row00013|2413.5
1|0.5|1.5
2|1.0|3.0
3|1.5|2.5
0-1-2-3-4-5-6
4000|6665834
ok
2.5|000000|GRüN|Inf|3|-1|9223372036854775807
"""

C_PROGRAM = r"""
#include <math.h>
#include <stdio.h>
#include <string.h>
static int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
int main(int argc, char** argv) {
  double sum = 0;
  for (int i = 1; i <= 1000; i++) sum += sqrt(i) / i;
  printf("fib %d sum %.9f argc %d %s\n", fib(20), sum, argc, argc > 1 ? argv[1] : "");
  return strlen(argv[0]) > 3 ? 17 : 1;
}
"""
C_OUT = "fib 6765 sum 61.801008765 argc 2 word\n"
