/** What texts of every language are made of. */

export const percent = (share) => `${Math.round(share * 100)} %`;
export const shortened = (text) => (text.length <= 60 ? text : `${text.slice(0, 59)}…`);
export const duration = (s, minutes) => (s < 90 ? `${Math.ceil(s)} s` : `${Math.ceil(s / 60)} ${minutes}`);
