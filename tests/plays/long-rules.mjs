// Every rule of the delivery state machine is necessary: the simulator, built without one of them, finds a violation.
// See tests/sim/rules.txt; about five minutes.
import { spawn } from 'node:child_process';

const child = spawn('tests/sim/rules.sh', [process.env.BUILD ?? 'build', '30000'], { stdio: 'inherit' });
child.on('close', (status) => process.exit(status ?? 1));
