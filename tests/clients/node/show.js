// One line of JSON for each event that a client shows its user.

export const show = ({ lastEventId, type, data }) => console.log(JSON.stringify({ id: lastEventId, type, data }));
