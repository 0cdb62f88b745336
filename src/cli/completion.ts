import { Argument, type Command, type Option } from 'commander';
import { listModels } from '../model/registry.js';

const SHELLS = ['bash', 'zsh', 'fish'] as const;

/** Adds `spiking-yolo completion`. */
export function addCompletionCommand(program: Command): void {
  program
    .command('completion')
    .description('print a script that completes commands and options in your shell')
    .addArgument(new Argument('<shell>').choices(SHELLS))
    .addHelpText(
      'after',
      `
Examples:
  source <(spiking-yolo completion bash)      (in ~/.bashrc; zsh: in ~/.zshrc, after compinit)
  spiking-yolo completion fish > ~/.config/fish/completions/spiking-yolo.fish`,
    )
    .action((shell: (typeof SHELLS)[number]) => {
      process.stdout.write(shell === 'fish' ? fishScript(program) : bashScript(program, shell === 'zsh'));
    });
}

const flagsOf = (command: Command) =>
  command.options.filter(({ hidden }) => !hidden).flatMap(({ long }) => long ?? []);
const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
const shown = (program: Command) => program.commands.map((command) => ({ command, name: command.name() }));

/** Values of options that have few; the others take files. */
const choicesOf = (command: Command): { option: Option; choices: readonly string[] }[] =>
  command.options.flatMap((option) => {
    const choices = option.long === '--model' ? listModels().map(({ name }) => name) : option.argChoices;
    return choices ? [{ option, choices }] : [];
  });

/** zsh runs it through bashcompinit. */
function bashScript(program: Command, zsh: boolean): string {
  const name = program.name();
  const cases = shown(program).map(({ command, name: own }) => {
    const values = choicesOf(command).map(
      ({ option, choices }) => `      ${own}:${option.long}) words=${quote(choices.join(' '))} ;;`,
    );
    return { values, flags: `      ${own}) words=${quote([...flagsOf(command), '--help'].join(' '))} ;;` };
  });
  return `# ${name} completion${zsh ? ', zsh' : ''}
${zsh ? 'autoload -U +X bashcompinit && bashcompinit\n' : ''}_spiking_yolo() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} command=\${COMP_WORDS[1]} words=
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    words=${quote(
      shown(program)
        .map(({ name: own }) => own)
        .join(' '),
    )}
  else
    case $command:$previous in
      completion:completion) words=${quote(SHELLS.join(' '))} ;;
${cases.flatMap(({ values }) => values).join('\n')}
      *) case $current in -*) case $command in
${cases.map(({ flags }) => flags).join('\n')}
      esac ;; esac ;;
    esac
  fi
  if [ -n "$words" ]; then COMPREPLY=($(compgen -W "$words" -- "$current"))
  else COMPREPLY=($(compgen -f -- "$current")); fi
}
complete -o filenames -F _spiking_yolo ${name}
`;
}

function fishScript(program: Command): string {
  const name = program.name();
  const commands = shown(program).map(
    ({ command, name: own }) =>
      `complete -c ${name} -n __fish_use_subcommand -f -a ${own} -d ${quote(command.description())}`,
  );
  const options = shown(program).flatMap(({ command, name: own }) =>
    command.options
      .filter(({ hidden, long }) => !hidden && long)
      .map(({ long, description, argChoices, required, optional }) => {
        const takes = argChoices
          ? ` -x -a ${quote(argChoices.join(' '))}`
          : required || optional
            ? ' -r'
            : '';
        return `complete -c ${name} -n '__fish_seen_subcommand_from ${own}' -l ${long!.slice(2)}${takes} -d ${quote(description)}`;
      }),
  );
  return `# ${name} completion, fish\n${[...commands, ...options].join('\n')}\n`;
}
